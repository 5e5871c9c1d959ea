/** Sets mathematics. Loaded when there is some; its styles are in styles.css. */

import katex from "katex";
import "katex/contrib/copy-tex"; // what is copied out of a text is the source

/** Set a formula into an element; throws where it can't be read, or asks for more than to be set. */
export function setFormula(formula: string, element: HTMLElement, displayMode: boolean): void {
  katex.render(formula, element, {
    displayMode,
    strict: false,
    trust,
    maxSize: 20,
    maxExpand: 500,
  });
}

/** Links, images and classes are no mathematics. */
function trust(): boolean {
  throw new Error("not trusted");
}
