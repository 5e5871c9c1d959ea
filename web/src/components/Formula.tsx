/** Mathematics, set once that can be done; until then, and where it can't, its source. */

import { useEffect, useRef, useState } from "react";

interface FormulaProps {
  source: string;
  formula: string;
  isBlock: boolean;
}

const LONGEST = 5_000; // characters that are set

export function Formula({ source, formula, isBlock }: FormulaProps) {
  const element = useRef<HTMLSpanElement>(null);
  const [isSet, setSet] = useState(false);
  useEffect(() => {
    if (formula.length > LONGEST) return;
    let isCurrent = true;
    import("./katex.js")
      .then(({ setFormula }) => {
        if (!isCurrent || !element.current) return;
        setFormula(formula, element.current, isBlock);
        setSet(true);
      })
      .catch(() => setSet(false));
    return () => {
      isCurrent = false;
    };
  }, [formula, isBlock]);
  return (
    <span className={isBlock ? "uci-formula uci-formula-block" : "uci-formula"}>
      <span ref={element} hidden={!isSet} />
      {!isSet && <code>{source}</code>}
    </span>
  );
}
