/** Where a message is written. What is sent is safe in the browser before the field is cleared. */

import { ArrowUpIcon, StopIcon } from "@radix-ui/react-icons";
import { useEffect, useRef, useState } from "react";
import { isBlank } from "../core/text.js";
import { MessageForm } from "./MessageForm.js";
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

  return (
    <MessageForm
      className="uci-composer"
      field={field}
      text={text}
      rows={GROWS ? 1 : Math.min(MOST_ROWS, text.split("\n").length)}
      label={texts.yourMessage}
      help={isBusy ? texts.keys + texts.keyThatStops : texts.keys}
      placeholder={texts.writeMessage}
      onType={setText}
      onSend={send}
      onEscape={() => isBusy && void onStop()}
    >
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
    </MessageForm>
  );
}
