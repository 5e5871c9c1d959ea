/** The parts of a message, stored or being written: text, and what stands between it. */

import { memo, type ReactNode } from "react";
import { type Part, type ShownPart, shownParts } from "../core/parts.js";
import type { Role } from "../core/types.js";
import { CodeBlock } from "./CodeBlock.js";
import { FilePart } from "./FilePart.js";
import { LongText } from "./LongText.js";
import { MessageText } from "./MessageText.js";
import { useTexts } from "./texts.js";
import { SAFE_LINK } from "./visibleSource.js";

const LONG = 60_000; // characters of JSON from which on it is not coloured

interface PartsProps {
  parts: readonly Part[];
  role: Role;
}

export const Parts = memo(function Parts({ parts, role }: PartsProps) {
  const texts = useTexts();
  return groups(shownParts(parts)).map((group, index) =>
    group[0]?.kind === "source" ? (
      <ul key={index} className="uci-sources" aria-label={texts.sources}>
        {group.map((part, place) => (
          <li key={place}>{part.kind === "source" && <Source {...part} />}</li>
        ))}
      </ul>
    ) : (
      group.map((part) => <PartView key={index} part={part} role={role} />)
    ),
  );
});

/** Sources that stand side by side are one list; every other part is by itself. */
function groups(parts: ShownPart[]): ShownPart[][] {
  const found: ShownPart[][] = [];
  for (const part of parts) {
    const last = found.at(-1);
    if (part.kind === "source" && last?.[0]?.kind === "source") last.push(part);
    else found.push([part]);
  }
  return found;
}

function PartView({ part, role }: { part: ShownPart; role: Role }) {
  const texts = useTexts();
  switch (part.kind) {
    case "text":
      return <MessageText role={role} text={part.text} />;
    case "reasoning":
      return (
        <Fold label={texts.reasoning}>
          <LongText text={part.text} />
        </Fold>
      );
    case "tool":
      return <ToolCall {...part} />;
    case "file":
      return <FilePart {...part} />;
    case "data":
      return (
        <Fold label={part.name || texts.data}>{part.value && <Json value={part.value} />}</Fold>
      );
    case "source":
      return <Source {...part} />;
  }
}

function ToolCall(part: ShownPart & { kind: "tool" }) {
  const texts = useTexts();
  const { name, state, input, output, error } = part;
  return (
    <Fold label={name || texts.tool} note={texts.toolStates[state]} state={state}>
      {input && <Value label={texts.toolInput} value={input} />}
      {output && <Value label={texts.toolOutput} value={output} />}
      {error && (
        <>
          <p className="uci-message-kind">{texts.toolError}</p>
          <LongText text={error} />
        </>
      )}
    </Fold>
  );
}

function Value({ label, value }: { label: string; value: string }) {
  return (
    <>
      <p className="uci-message-kind">{label}</p>
      <Json value={value} />
    </>
  );
}

function Json({ value }: { value: string }) {
  if (value.length > LONG) return <LongText text={value} />;
  return <CodeBlock code={value} language="json" />;
}

interface FoldProps {
  label: string;
  note?: string;
  state?: string;
  children: ReactNode;
}

function Fold({ label, note, state, children }: FoldProps) {
  return (
    <details className="uci-fold" data-state={state}>
      <summary>
        <bdi>{label}</bdi> {note && <span>{note}</span>}
      </summary>
      <div className="uci-fold-body">{children}</div>
    </details>
  );
}

function Source({ title, url }: { title: string; url: string }) {
  const texts = useTexts();
  if (!SAFE_LINK.test(url))
    return <bdi>{[title, url].filter(Boolean).join(" ") || texts.source}</bdi>;
  return (
    <a href={url} target="_blank" rel="noopener noreferrer nofollow" dir="auto">
      {title || url}
    </a>
  );
}
