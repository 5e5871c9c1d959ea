/** A user's message while it is edited: sent beside the one that it was, which stays. */

import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { directionOf, isBlank } from "../core/text.js";
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
  const help = useId();
  const isEmpty = isBlank(text);
  useEffect(() => onType(text), [text]);
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(original.length, original.length);
  }, []);

  async function send() {
    if (!isEmpty) await onSend(text);
  }

  function onKeyDown(event: KeyboardEvent) {
    const isComposing = event.nativeEvent.isComposing || event.keyCode === 229;
    if (isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void send();
    }
    if (event.key === "Escape") {
      event.stopPropagation();
      onCancel();
    }
  }

  return (
    <form
      className="uci-edit"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <textarea
        ref={field}
        rows={Math.min(8, text.split("\n").length)}
        dir={directionOf(text)}
        value={text}
        aria-label={texts.editedMessage}
        aria-describedby={help}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <p id={help} className="uci-composer-help">
        {texts.editKeys}
      </p>
      <div className="uci-edit-actions">
        <button type="button" className="uci-link" onClick={onCancel}>
          {texts.cancel}
        </button>
        <button type="submit" className="uci-edit-send" disabled={isEmpty}>
          {texts.send}
        </button>
      </div>
    </form>
  );
}
