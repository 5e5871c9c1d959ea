/** A user's message while it is edited: sent beside the one that it was, which stays. */

import { useEffect, useRef, useState } from "react";
import { isBlank } from "../core/text.js";
import { MessageForm } from "./MessageForm.js";
import { useTexts } from "./texts.js";

interface EditMessageProps {
  text: string;
  onType: (text: string) => void;
  onSend: (text: string) => Promise<void>;
  onCancel: () => void;
}

export function EditMessage({ text: original, onType, onSend, onCancel }: EditMessageProps) {
  const texts = useTexts();
  const [text, setText] = useState(original);
  const field = useRef<HTMLTextAreaElement>(null);
  const isEmpty = isBlank(text);
  useEffect(() => onType(text), [text]);
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(original.length, original.length);
  }, []);

  async function send() {
    if (!isEmpty) await onSend(text);
  }

  return (
    <MessageForm
      className="uci-edit"
      field={field}
      text={text}
      rows={Math.min(8, text.split("\n").length)}
      label={texts.editedMessage}
      help={texts.editKeys}
      onType={setText}
      onSend={send}
      onEscape={(event) => {
        event.stopPropagation();
        onCancel();
      }}
    >
      <div className="uci-edit-actions">
        <button type="button" className="uci-link" onClick={onCancel}>
          {texts.cancel}
        </button>
        <button type="submit" className="uci-edit-send" disabled={isEmpty}>
          {texts.send}
        </button>
      </div>
    </MessageForm>
  );
}
