/** The reply that is being written. It is in the database too, up to the last second. */

import { useDeferredValue } from "react";
import remend from "remend";
import type { TurnState } from "../core/state.js";
import { lastPart } from "../core/text.js";
import { Markdown } from "./Markdown.js";
import { useTexts } from "./texts.js";

const LONG = 60_000;
const COMPLETE = { linkMode: "text-only", htmlTags: false, comparisonOperators: false } as const;

export function DraftMessage({ turn }: { turn: TurnState }) {
  const texts = useTexts();
  const draft = useDeferredValue(turn.draft);
  return (
    <article className="uci-message uci-message-assistant uci-message-draft" aria-busy="true">
      <h3 className="uci-visually-hidden">{texts.aiWriting}</h3>
      <div className="uci-message-body" dir="auto">
        {draft.length > LONG ? (
          <p className="uci-plain">{lastPart(draft, LONG)}</p>
        ) : draft ? (
          <Markdown text={remend(draft, COMPLETE)} />
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
