/** One stored message, as the row says it. */

import { memo } from "react";
import { engineOf, failureOf, isCut } from "../core/metadata.js";
import { isBlank } from "../core/text.js";
import type { MessageRow } from "../core/types.js";
import { CopyButton } from "./CopyButton.js";
import { Files } from "./Files.js";
import { LongText } from "./LongText.js";
import { Markdown } from "./Markdown.js";
import { timeOf } from "./time.js";
import type { ChatTexts } from "../texts.js";
import { useTexts } from "./texts.js";

interface MessageProps {
  message: MessageRow;
  isFocused?: boolean;
  /** Ask the AI to go on, where this is the last message. */
  onContinue?: () => void;
}

const LONG = 60_000; // characters from which on a message is shown as plain text

export const Message = memo(function Message({
  message,
  isFocused = false,
  onContinue,
}: MessageProps) {
  const texts = useTexts();
  const { role, content, metadata } = message;
  const isReply = role === "assistant";
  const failure = isReply ? failureOf(metadata) : null;
  const engine = isReply ? engineOf(metadata) : "";
  return (
    <article className={`uci-message uci-message-${role}`} data-focused={isFocused || undefined}>
      <h3 className="uci-visually-hidden">{labelOf(message, texts)}</h3>
      {message.is_summary && <p className="uci-message-kind">{texts.summaryOfEarlier}</p>}
      <div className="uci-message-body" dir="auto">
        {isBlank(content) ? (
          <p className="uci-message-kind">{texts.empty}</p>
        ) : content.length > LONG ? (
          <LongText text={content} />
        ) : role === "user" ? (
          <p className="uci-plain">{content}</p>
        ) : (
          <Markdown text={content} />
        )}
      </div>
      {failure && (
        <p className="uci-message-failure">
          <strong>{failure.type === "cancelled" ? texts.stopped : texts.notComplete}</strong>{" "}
          {failure.message !== content && failure.message}
        </p>
      )}
      {isReply && isCut(metadata) && (
        <p className="uci-message-cut">
          {texts.cut}{" "}
          {onContinue && (
            <button type="button" className="uci-link" onClick={onContinue}>
              {texts.goOn}
            </button>
          )}
        </p>
      )}
      <Files metadata={metadata} code={message.generated_code} />
      <footer className="uci-message-foot">
        <time dateTime={message.created_at}>{timeOf(message.created_at)}</time>
        {engine && <span dir="auto">{engine}</span>}
        {isImported(message) && <span>{texts.imported}</span>}
        <CopyButton text={content} label={texts.copyMessage} />
      </footer>
    </article>
  );
});

function labelOf({ role, is_summary }: MessageRow, texts: ChatTexts): string {
  if (is_summary) return texts.summary;
  return { user: texts.you, assistant: texts.ai, system: texts.system }[role];
}

function isImported({ metadata }: MessageRow): boolean {
  return "imported" in metadata;
}
