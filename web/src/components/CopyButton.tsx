import { CheckIcon, CopyIcon } from "@radix-ui/react-icons";
import { useEffect, useState } from "react";
import { useTexts } from "./texts.js";

export function CopyButton({ text, label }: { text: string; label: string }) {
  const texts = useTexts();
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(""), 1600);
    return () => clearTimeout(timer);
  }, [said]);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text); // not there where the page came over plain HTTP
      setSaid(texts.copied);
    } catch {
      setSaid(texts.notCopied);
    }
  }
  return (
    <button
      type="button"
      className="uci-icon-button uci-copy"
      aria-label={said || label}
      title={said || label}
      onClick={() => void copy()}
    >
      {said === texts.copied ? <CheckIcon aria-hidden /> : <CopyIcon aria-hidden />}
    </button>
  );
}
