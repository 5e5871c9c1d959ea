/** What is going on, in words: for eyes and for screen readers. How it ended, for the latter. */

import { useState } from "react";
import { failureOf } from "../core/metadata.js";
import type { ChatStatus, UniversalAIChat } from "../hook/chat.js";
import type { ChatTexts } from "../texts.js";
import { errorText, useTexts } from "./texts.js";

export function StatusLine({ chat }: { chat: UniversalAIChat }) {
  const texts = useTexts();
  const isQuiet = chat.connection === "offline" || chat.status === "ready";
  const words = isQuiet ? "" : texts[chat.status as Exclude<ChatStatus, "ready">];
  const outcome = useOutcome(chat, texts);
  return (
    <p className="uci-status" role="status" data-busy={words !== "" || undefined}>
      {words || <span className="uci-visually-hidden">{outcome}</span>}
    </p>
  );
}

/** How what was sent or followed here has ended; who sees the page sees it in its messages. */
function useOutcome({ messages, pending, turn }: UniversalAIChat, texts: ChatTexts): string {
  const [followed, setFollowed] = useState<string>();
  if (turn && turn.turnId !== followed) setFollowed(turn.turnId);
  const failed = pending.findLast((entry) => entry.state === "failed");
  if (failed) return texts.notSent(failed.error ? errorText(texts, failed.error) : texts.failed);
  if (turn || !followed) return "";
  const reply = messages.findLast((row) => row.turn_id === followed && row.role === "assistant");
  if (!reply) return "";
  return failureOf(reply.metadata) ? texts.replyNotComplete : texts.replyComplete;
}
