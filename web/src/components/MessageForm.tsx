/** Where text is written, new or once more: Enter sends it, which a key that ends a word does not. */

import { type KeyboardEvent, type ReactNode, type RefObject, useId } from "react";
import { directionOf } from "../core/text.js";

interface MessageFormProps {
  className: string;
  field: RefObject<HTMLTextAreaElement | null>;
  text: string;
  rows: number;
  label: string;
  help: ReactNode;
  placeholder?: string;
  onType: (text: string) => void;
  onSend: () => Promise<void>;
  onEscape: (event: KeyboardEvent) => void;
  children: ReactNode;
}

export function MessageForm({ field, help, onType, onSend, onEscape, ...rest }: MessageFormProps) {
  const { className, text, rows, label, placeholder, children } = rest;
  const helpId = useId();

  function onKeyDown(event: KeyboardEvent) {
    // A word is being put together. Safari says of the key that ends it only this code.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void onSend();
    }
    if (event.key === "Escape") onEscape(event);
  }

  return (
    <form
      className={className}
      onSubmit={(event) => {
        event.preventDefault();
        void onSend();
      }}
    >
      <textarea
        ref={field}
        rows={rows}
        dir={directionOf(text)}
        value={text}
        aria-label={label}
        aria-describedby={helpId}
        placeholder={placeholder}
        onChange={(event) => onType(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {children}
      <p id={helpId} className="uci-composer-help">
        {help}
      </p>
    </form>
  );
}
