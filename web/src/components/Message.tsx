/** One stored message, as the row says it. */

import { memo } from "react";
import { engineOf, failureOf } from "../core/metadata";
import type { MessageRow } from "../core/types";
import { CopyButton } from "./CopyButton";
import { Files } from "./Files";
import { LongText } from "./LongText";
import { Markdown } from "./Markdown";
import { timeOf } from "./time";

interface MessageProps {
  message: MessageRow;
  isFocused?: boolean;
}

const LONG = 60_000; // characters from which on a message is shown as plain text

export const Message = memo(function Message({ message, isFocused = false }: MessageProps) {
  const { role, content, metadata } = message;
  const isReply = role === "assistant";
  const failure = isReply ? failureOf(metadata) : null;
  const engine = isReply ? engineOf(metadata) : "";
  return (
    <article className={`uci-message uci-message-${role}`} data-focused={isFocused || undefined}>
      <h3 className="uci-visually-hidden">{labelOf(message)}</h3>
      {message.is_summary && <p className="uci-message-kind">Summary of earlier messages</p>}
      <div className="uci-message-body" dir="auto">
        {content.length > LONG ? (
          <LongText text={content} />
        ) : role === "user" ? (
          <p className="uci-plain">{content}</p>
        ) : (
          <Markdown text={content} />
        )}
      </div>
      {failure && (
        <p className="uci-message-failure">
          <strong>{failure.type === "cancelled" ? "Stopped." : "Not complete."}</strong>{" "}
          {failure.message !== content && failure.message}
        </p>
      )}
      <Files metadata={metadata} code={message.generated_code} />
      <footer className="uci-message-foot">
        <time dateTime={message.created_at}>{timeOf(message.created_at)}</time>
        {engine && <span dir="auto">{engine}</span>}
        {isImported(message) && <span>imported</span>}
        <CopyButton text={content} label="Copy message" />
      </footer>
    </article>
  );
});

function labelOf({ role, is_summary }: MessageRow): string {
  if (is_summary) return "Summary";
  return { user: "You", assistant: "AI", system: "System" }[role];
}

function isImported({ metadata }: MessageRow): boolean {
  return "imported" in metadata;
}
