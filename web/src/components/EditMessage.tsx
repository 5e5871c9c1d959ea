/** A user's message while it is edited: sent beside the one that it was, which stays. */

import { MessageForm } from "./MessageForm.js";
import { useTexts } from "./texts.js";

interface EditMessageProps {
  initial: string;
  onType: (text: string) => void;
  onSend: (text: string) => Promise<void>;
  onCancel: () => void;
}

export function EditMessage({ onCancel, ...rest }: EditMessageProps) {
  const texts = useTexts();
  return (
    <MessageForm
      {...rest}
      isEdit
      className="uci-edit"
      label={texts.editedMessage}
      help={texts.editKeys}
      onEscape={(event) => {
        event.stopPropagation();
        onCancel();
      }}
    >
      {(isEmpty) => (
        <div className="uci-edit-actions">
          <button type="button" className="uci-link" onClick={onCancel}>
            {texts.cancel}
          </button>
          <button type="submit" className="uci-edit-send" disabled={isEmpty}>
            {texts.send}
          </button>
        </div>
      )}
    </MessageForm>
  );
}
