/** Where text is written, new or once more. What is sent is safe in the browser before it is gone. */

import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { directionOf, isBlank } from "../core/text.js";

/** Whether the field grows with its text by itself, or by its rows. */
const GROWS = globalThis.CSS?.supports("field-sizing", "content") ?? true;
const MOST_ROWS = 8;

interface MessageFormProps {
  className: string;
  initial: string;
  label: string;
  help: string;
  placeholder?: string;
  /** It stands in the place of a message: one goes on at its end, and it goes when it is sent. */
  isEdit?: boolean;
  onType: (text: string) => void;
  onSend: (text: string) => Promise<void>;
  onEscape: (event: KeyboardEvent) => void;
  children: (isEmpty: boolean) => ReactNode;
}

export function MessageForm({ initial, isEdit, onType, onSend, ...rest }: MessageFormProps) {
  const { className, label, help, placeholder, onEscape, children } = rest;
  const [text, setText] = useState(initial);
  const field = useRef<HTMLTextAreaElement>(null);
  const helpId = useId();
  const isEmpty = isBlank(text);
  useEffect(() => onType(text), [text, onType]);
  useEffect(() => {
    if (!isEdit) return;
    field.current?.focus();
    field.current?.setSelectionRange(initial.length, initial.length);
  }, []);

  async function send() {
    if (isEmpty) return;
    if (!isEdit) setText("");
    await onSend(text).catch(() => setText(text));
    if (!isEdit) field.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    // A word is being put together. Safari says of the key that ends it only this code.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void send();
    }
    if (event.key === "Escape") onEscape(event);
  }

  return (
    <form
      className={className}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <textarea
        ref={field}
        rows={GROWS ? 1 : Math.min(MOST_ROWS, text.split("\n").length)}
        dir={directionOf(text)}
        value={text}
        aria-label={label}
        aria-describedby={helpId}
        placeholder={placeholder}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {children(isEmpty)}
      <p id={helpId} className="uci-composer-help">
        {help}
      </p>
    </form>
  );
}
