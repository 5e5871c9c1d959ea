/** Text too long to be laid out at once: its beginning, and the rest on request. */

import { useState } from "react";
import { firstPart } from "../core/text.js";
import { useTexts } from "./texts.js";

const FIRST = 12_000;
const MORE = 200_000;

export function LongText({ text }: { text: string }) {
  const texts = useTexts();
  const [shown, setShown] = useState(FIRST);
  const rest = text.length - shown;
  return (
    <>
      <p className="uci-plain">{firstPart(text, shown)}</p>
      {rest > 0 && (
        <button type="button" className="uci-link" onClick={() => setShown(shown + MORE)}>
          {texts.showMore(rest.toLocaleString())}
        </button>
      )}
    </>
  );
}
