/** The reply that is being written. It is in the database too, up to the last second. */

import { useDeferredValue, useMemo } from "react";
import remend from "remend";
import { partsOfDraft } from "../core/draft.js";
import type { Part } from "../core/parts.js";
import type { TurnState } from "../core/state.js";
import { lastPart } from "../core/text.js";
import { Parts } from "./Parts.js";
import { useTexts } from "./texts.js";

const LONG = 60_000;
const COMPLETE = { linkMode: "text-only", htmlTags: false, comparisonOperators: false } as const;

export function DraftMessage({ turn }: { turn: TurnState }) {
  const texts = useTexts();
  const { draft, parts } = useDeferredValue(turn);
  const shown = useMemo(() => completed(draft, partsOfDraft(draft, parts)), [draft, parts]);
  return (
    <article className="uci-message uci-message-assistant uci-message-draft" aria-busy="true">
      <h3 className="uci-visually-hidden">{texts.aiWriting}</h3>
      <div className="uci-message-body" dir="auto">
        {draft.length > LONG ? (
          <p className="uci-plain">{lastPart(draft, LONG)}</p>
        ) : shown.length > 0 ? (
          <Parts parts={shown} role="assistant" />
        ) : (
          <span className="uci-waiting" aria-hidden>
            <i />
            <i />
            <i />
          </span>
        )}
      </div>
    </article>
  );
}

/** The parts, or the text alone, with an end to the markdown that is still being written. */
function completed(draft: string, parts: Part[]): Part[] {
  if (parts.length === 0) return draft ? [{ type: "text", text: remend(draft, COMPLETE) }] : [];
  const last = parts.at(-1);
  if (last?.type !== "text") return parts;
  return [...parts.slice(0, -1), { type: "text", text: remend(String(last.text), COMPLETE) }];
}
