/** Text of a message: a user's as it was typed, an AI's as markdown. */

import type { Role } from "../core/types.js";
import { LongText } from "./LongText.js";
import { Markdown } from "./Markdown.js";

const LONG = 60_000; // characters from which on it is shown as plain text

export function MessageText({ role, text }: { role: Role; text: string }) {
  if (text.length > LONG) return <LongText text={text} />;
  if (role === "user") return <p className="uci-plain">{text}</p>;
  return <Markdown text={text} />;
}
