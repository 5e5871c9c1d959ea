/** Where a message is written. What is sent is safe in the browser before the field is cleared. */

import { ArrowUpIcon, StopIcon } from "@radix-ui/react-icons";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { directionOf, isBlank } from "../core/text.js";
import { useTexts } from "./texts.js";

/** Whether the field grows with its text by itself, or by its rows. */
const GROWS = globalThis.CSS?.supports("field-sizing", "content") ?? true;
const MOST_ROWS = 8;

interface ComposerProps {
  isBusy: boolean;
  /** What was typed here before, and what is to be typed here again later. */
  initial: string;
  onType: (text: string) => void;
  onSend: (text: string) => Promise<void>;
  onStop: () => Promise<void>;
}

export function Composer({ isBusy, initial, onType, onSend, onStop }: ComposerProps) {
  const texts = useTexts();
  const [text, setText] = useState(initial);
  const field = useRef<HTMLTextAreaElement>(null);
  const help = useId();
  const isEmpty = isBlank(text);
  useEffect(() => onType(text), [text, onType]);

  async function send() {
    if (isEmpty) return;
    setText("");
    try {
      await onSend(text);
    } catch {
      setText(text);
    }
    field.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    // A word is being put together. Safari says of the key that ends it only this code.
    const isComposing = event.nativeEvent.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && !event.shiftKey && !isComposing) {
      event.preventDefault();
      void send();
    }
    if (event.key === "Escape" && isBusy && !isComposing) void onStop();
  }

  return (
    <form
      className="uci-composer"
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
        aria-label={texts.yourMessage}
        aria-describedby={help}
        placeholder={texts.writeMessage}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {isBusy && (
        <button
          type="button"
          className="uci-round"
          aria-label={texts.stop}
          onClick={() => void onStop()}
        >
          <StopIcon aria-hidden />
        </button>
      )}
      <button
        type="submit"
        className="uci-round uci-primary"
        aria-label={texts.send}
        disabled={isEmpty}
      >
        <ArrowUpIcon aria-hidden />
      </button>
      <p id={help} className="uci-composer-help">
        {texts.keys}
        {isBusy && texts.keyThatStops}
      </p>
    </form>
  );
}
