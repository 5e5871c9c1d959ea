/**
 * Mathematics in markdown: `\( \)`, `\[ \]`, `$$ $$`, and `$ $` where it is not about money.
 *
 * What is found becomes an element `code` of the class MATH, which holds the source as it was written.
 */

import type { Data } from "mdast";
import type { CompileContext, Extension as FromMarkdown, Token } from "mdast-util-from-markdown";
import type { Construct, Effects, Extension, State, TokenizeContext } from "micromark-util-types";

declare module "micromark-util-types" {
  interface TokenTypeMap {
    math: "math";
    mathData: "mathData";
  }
}

export const MATH = "math";
const BACKSLASH = 92;
const DOLLAR = 36;
const DELIMITER = /^([ \t>]*)(\\\[|\\\]|\$\$)[ \t]*$/; // alone on its line
const LONGEST = 2_000; // characters: what is longer is no formula, and is not searched for an end
const CLOSING: Record<string, string> = { "\\(": "\\)", "\\[": "\\]", $$: "$$", $: "$" };

export const mathSyntax: Extension = {
  text: { [BACKSLASH]: { name: "math", tokenize }, [DOLLAR]: { name: "math", tokenize } },
};

export const mathFromMarkdown: FromMarkdown = {
  enter: { math: enterMath },
  exit: {
    math(token) {
      this.exit(token);
    },
  },
};

function enterMath(this: CompileContext, token: Token): void {
  const source = this.sliceSerialize(token);
  const className = [MATH, /^(\$\$|\\\[)/.test(source) ? "block" : "inline"];
  const hChildren = [{ type: "text", value: source }];
  const data = { hName: "code", hProperties: { className }, hChildren } as Data;
  this.enter({ type: "math", data } as never, token);
}

/** The formula between the delimiters that a source begins and ends with. */
export function formulaOf(source: string): string {
  const open = /^(\$\$?|\\.)/.exec(source)?.[0] ?? "";
  return source.slice(open.length, source.length - open.length);
}

function tokenize(
  this: TokenizeContext,
  effects: Effects,
  ok: State,
  nok: State,
): ReturnType<Construct["tokenize"]> {
  const isInWord = /[\p{L}\p{N}]/u.test(String.fromCharCode(this.previous ?? 0));
  let source = "";
  return (code) => {
    effects.enter("math");
    effects.enter("mathData");
    return inside(code);
  };

  function inside(code: number | null): State | undefined {
    const open = openingOf(source);
    if (open && isClosed(source, open)) {
      const next = code === null ? "" : String.fromCharCode(code);
      if (open === "$" ? isInWord || isMoney(source, next) : isEscape(source)) return nok(code);
      effects.exit("mathData");
      effects.exit("math");
      return ok(code);
    }
    if (code === null || source.length > LONGEST || (!open && source.length > 1)) return nok(code);
    const isLineEnding = code < -2;
    if (isLineEnding && (open === "$" || !open)) return nok(code);
    source += isLineEnding ? "\n" : code < 0 ? " " : String.fromCharCode(code);
    if (!isLineEnding) {
      effects.consume(code);
      return inside;
    }
    effects.exit("mathData");
    effects.enter("lineEnding");
    effects.consume(code);
    effects.exit("lineEnding");
    effects.enter("mathData");
    return inside;
  }
}

/** The delimiter that a source begins with, once that is clear; nothing for none. */
function openingOf(source: string): string {
  const two = source.slice(0, 2);
  if (two.length < 2) return "";
  return two in CLOSING ? two : two[0] === "$" ? "$" : "";
}

function isClosed(source: string, open: string): boolean {
  const close = CLOSING[open] ?? "";
  const before = source.slice(open.length, -close.length);
  return source.endsWith(close) && before.trim() !== "" && !/(^|[^\\])(\\\\)*\\$/.test(before);
}

/** Whether dollars are prices, as in `$5 and $10`, or names in a shell. */
function isMoney(source: string, next: string): boolean {
  const formula = formulaOf(source);
  if (/^\s|\s$/.test(formula)) return true;
  const isTex = /[\\^_={}]/.test(formula);
  if (/\d/.test(next) || (/\p{L}/u.test(next) && !isTex && formula.length > 1)) return true;
  return !isTex && /^[\d.,]/.test(formula) && /\s/.test(formula) && /\p{L}{2}/u.test(formula);
}

/** Whether brackets are escaped text, as in `\[1\]` or `\[not a link\](url)`. */
function isEscape(source: string): boolean {
  return source.startsWith("\\[") && !/[\\^_={}+*/<>-]|^\s.*\s$/s.test(formulaOf(source));
}

/** Put what stands between lines of `\[` and `\]`, or of `$$`, into fences that nothing interrupts. */
export function withMathFences(text: string): string {
  if (!text.includes("$$") && !text.includes("\\[")) return text;
  const lines = text.split("\n");
  let fence = "";
  let begun: { index: number; margin: string; open: string } | null = null;
  for (const [index, line] of lines.entries()) {
    const [, mark = ""] = /^[ \t>]*(`{3,}|~{3,})/.exec(line) ?? [];
    if (mark) begun = null;
    if (mark && (!fence || mark.startsWith(fence))) fence = fence ? "" : mark;
    const [, margin = "", alone = ""] = DELIMITER.exec(line) ?? [];
    if (!alone || fence) continue;
    if (begun && CLOSING[begun.open] === alone) {
      lines[begun.index] = `${begun.margin}\`\`\`math`;
      lines[index] = `${begun.margin}\`\`\``;
      begun = null;
    } else {
      begun = alone in CLOSING ? { index, margin, open: alone } : null;
    }
  }
  return lines.join("\n");
}
