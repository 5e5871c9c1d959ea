/** Questions to the reader, on the browser's own dialog. */

import { type FormEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";

interface DialogProps {
  title: string;
  action: string;
  isDangerous?: boolean;
  onClose: () => void;
  onConfirm: () => Promise<unknown>;
  children: ReactNode;
}

function Dialog({ title, action, isDangerous, onClose, onConfirm, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const heading = useId();
  useEffect(() => dialog.current?.showModal(), []);

  async function confirm(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : "That did not work.");
      setBusy(false);
    }
  }

  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={heading} onClose={onClose}>
      <form onSubmit={confirm}>
        <h2 id={heading}>{title}</h2>
        {children}
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <div className="dialog-actions">
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button
            type="submit"
            className={`button ${isDangerous ? "danger" : "primary"}`}
            disabled={isBusy}
          >
            {action}
          </button>
        </div>
      </form>
    </dialog>
  );
}

interface ConfirmDialogProps extends Omit<DialogProps, "children" | "isDangerous"> {
  text: ReactNode;
}

export function ConfirmDialog({ text, ...rest }: ConfirmDialogProps) {
  return (
    <Dialog {...rest} isDangerous>
      <p>{text}</p>
    </Dialog>
  );
}

/** At least one character that can be seen. */
const SEEN = ".*[^\\s\\p{Cf}\\p{Default_Ignorable_Code_Point}].*";

interface PromptDialogProps extends Omit<DialogProps, "children" | "isDangerous" | "onConfirm"> {
  label: string;
  initial: string;
  onConfirm: (value: string) => Promise<unknown>;
}

export function PromptDialog({ label, initial, onConfirm, ...rest }: PromptDialogProps) {
  const [value, setValue] = useState(initial);
  return (
    <Dialog {...rest} onConfirm={() => onConfirm(value.trim())}>
      <label>
        {label}
        <input
          value={value}
          maxLength={200}
          dir="auto"
          required
          pattern={SEEN}
          onFocus={(event) => event.target.select()}
          onChange={(event) => setValue(event.target.value)}
        />
      </label>
    </Dialog>
  );
}
