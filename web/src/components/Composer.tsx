/** Where a message is written. What is sent is safe in the browser before the field is cleared. */

import { ArrowUpIcon, StopIcon } from "@radix-ui/react-icons";
import { type KeyboardEvent, useId, useRef, useState } from "react";

/** Whether the field grows with its text by itself, or by its rows. */
const GROWS = globalThis.CSS?.supports("field-sizing", "content") ?? true;
const MOST_ROWS = 8;

interface ComposerProps {
  isBusy: boolean;
  onSend: (text: string) => Promise<void>;
  onStop: () => Promise<void>;
}

export function Composer({ isBusy, onSend, onStop }: ComposerProps) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const help = useId();
  const isBlank = text.trim() === "";

  async function send() {
    if (isBlank) return;
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
        dir="auto"
        value={text}
        aria-label="Your message"
        aria-describedby={help}
        placeholder="Write a message"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {isBusy && (
        <button type="button" className="uci-round" aria-label="Stop" onClick={() => void onStop()}>
          <StopIcon aria-hidden />
        </button>
      )}
      <button type="submit" className="uci-round uci-primary" aria-label="Send" disabled={isBlank}>
        <ArrowUpIcon aria-hidden />
      </button>
      <p id={help} className="uci-composer-help">
        Enter sends, Shift and Enter starts a new line{isBusy && ", Escape stops the reply"}
      </p>
    </form>
  );
}
