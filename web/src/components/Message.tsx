/** One stored message, as the row says it. */

import { Pencil1Icon, ReloadIcon } from "@radix-ui/react-icons";
import { memo, type ReactNode, useEffect, useRef } from "react";
import { engineOf, failureOf, isCut } from "../core/metadata.js";
import { isBlank } from "../core/text.js";
import type { MessageRow } from "../core/types.js";
import { CopyButton } from "./CopyButton.js";
import { Files } from "./Files.js";
import { MessageText } from "./MessageText.js";
import { Parts } from "./Parts.js";
import { timeOf } from "./time.js";
import type { ChatTexts } from "../texts.js";
import { useTexts } from "./texts.js";

interface MessageProps {
  message: MessageRow;
  isFocused?: boolean;
  /** Ask the AI to go on, where this is the last message. */
  onContinue?: () => void;
  /** Begin to edit it, where that can be done now. */
  onEdit?: (messageId: string) => void;
  /** Have it answered once more, where it is a reply and that can be done now. */
  onRegenerate?: (messageId: string) => void;
  /** What stands in the place of its text while it is edited. */
  editor?: ReactNode;
  versions?: ReactNode;
}

export const Message = memo(function Message({
  message,
  isFocused = false,
  onContinue,
  onEdit,
  onRegenerate,
  editor,
  versions,
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
        {editor ?? <Body message={message} />}
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
        {versions}
        <CopyButton text={content} label={texts.copyMessage} />
        {isEditable(message) && onEdit && (
          <EditButton isEditing={editor !== undefined} onClick={() => onEdit(message.id)} />
        )}
        {isReply && onRegenerate && (
          <button
            type="button"
            className="uci-icon-button uci-action"
            aria-label={texts.regenerate}
            title={texts.regenerate}
            onClick={() => onRegenerate(message.id)}
          >
            <ReloadIcon aria-hidden />
          </button>
        )}
      </footer>
    </article>
  );
});

/** A message without parts is its content; so is what stands for a reply that has none of its own. */
function Body({ message: { role, content, parts = [] } }: { message: MessageRow }) {
  const texts = useTexts();
  const hasText = parts.some(({ type, text }) => type === "text" && text);
  if (parts.length === 0 && isBlank(content)) {
    return <p className="uci-message-kind">{texts.empty}</p>;
  }
  return (
    <>
      {parts.length > 0 && <Parts parts={parts} role={role} />}
      {!hasText && !isBlank(content) && <MessageText role={role} text={content} />}
    </>
  );
}

/** Has the focus again once the text is no longer edited. */
function EditButton({ isEditing, onClick }: { isEditing: boolean; onClick: () => void }) {
  const texts = useTexts();
  const button = useRef<HTMLButtonElement>(null);
  const wasEditing = useRef(false);
  useEffect(() => {
    if (wasEditing.current && !isEditing) button.current?.focus();
    wasEditing.current = isEditing;
  }, [isEditing]);
  return (
    <button
      ref={button}
      type="button"
      className="uci-icon-button uci-action"
      aria-label={texts.edit}
      title={texts.edit}
      hidden={isEditing}
      onClick={onClick}
    >
      <Pencil1Icon aria-hidden />
    </button>
  );
}

/** Only text can be typed: what else a message brought would be lost with an edit. */
function isEditable({ role, parts = [] }: MessageRow): boolean {
  return role === "user" && parts.every(({ type }) => type === "text");
}

function labelOf({ role, is_summary }: MessageRow, texts: ChatTexts): string {
  if (is_summary) return texts.summary;
  return { user: texts.you, assistant: texts.ai, system: texts.system }[role];
}

function isImported({ metadata }: MessageRow): boolean {
  return "imported" in metadata;
}
