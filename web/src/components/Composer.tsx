/** Where a message is written, and a reply stopped. */

import { ArrowUpIcon, StopIcon } from "@radix-ui/react-icons";
import { MessageForm } from "./MessageForm.js";
import { useTexts } from "./texts.js";

interface ComposerProps {
  isBusy: boolean;
  /** What was typed here before, and what is to be typed here again later. */
  initial: string;
  onType: (text: string) => void;
  onSend: (text: string) => Promise<void>;
  onStop: () => Promise<void>;
}

export function Composer({ isBusy, onStop, ...rest }: ComposerProps) {
  const texts = useTexts();
  return (
    <MessageForm
      {...rest}
      className="uci-composer"
      label={texts.yourMessage}
      help={isBusy ? texts.keys + texts.keyThatStops : texts.keys}
      placeholder={texts.writeMessage}
      onEscape={() => isBusy && void onStop()}
    >
      {(isEmpty) => (
        <>
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
        </>
      )}
    </MessageForm>
  );
}
