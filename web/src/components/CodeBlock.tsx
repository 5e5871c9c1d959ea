/** Code as it is, coloured once the highlighter has come, and copied whole. */

import { memo, type ReactNode, useEffect, useState } from "react";
import { CopyButton } from "./CopyButton.js";
import { useTexts } from "./texts.js";

interface CodeBlockProps {
  code: string;
  language: string;
  /** What stands behind the language, such as the path of a file. */
  info?: string;
}

const MOST = 50_000; // characters that are coloured
const LINES = 400; // that are shown at once
const TURNING = /[\u202a-\u202e\u2066-\u2069]/; // what turns the direction of text

export const CodeBlock = memo(function CodeBlock({ code, language, info }: CodeBlockProps) {
  const texts = useTexts();
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? code : firstLines(code);
  const colored = useColored(shown, language);
  const path = info && /^path=(\S+)$/.exec(info)?.[1];
  const name = path ?? ([language, info].filter(Boolean).join(" ") || texts.plainText);
  return (
    <figure className="uci-code">
      <figcaption>
        <span className="uci-code-name">{name}</span>
        <CopyButton text={code} label={texts.copy(name)} />
      </figcaption>
      <pre tabIndex={0}>
        <code dir="ltr">{colored ?? shown}</code>
      </pre>
      {TURNING.test(code) && <p className="uci-code-warning">{texts.hiddenCharacters}</p>}
      {shown.length < code.length && (
        <button type="button" className="uci-link" onClick={() => setWhole(true)}>
          {texts.showLines(code.split("\n").length.toLocaleString())}
        </button>
      )}
    </figure>
  );
});

function firstLines(code: string): string {
  let end = -1;
  for (let line = 0; line < LINES; line += 1) {
    end = code.indexOf("\n", end + 1);
    if (end < 0) return code;
  }
  return code.slice(0, end);
}

function useColored(code: string, language: string): ReactNode {
  const [colored, setColored] = useState<{ code: string; nodes: ReactNode } | null>(null);
  useEffect(() => {
    if (!language || code.length > MOST) return;
    let isCurrent = true;
    void import("./highlight.js").then(({ highlight }) => {
      const nodes = highlight(code, language);
      if (isCurrent && nodes) setColored({ code, nodes });
    });
    return () => {
      isCurrent = false;
    };
  }, [code, language]);
  return colored?.code === code ? colored.nodes : null;
}
