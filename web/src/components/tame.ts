/** Whether markdown can be read in a moment: some few kilobytes of it take minutes on purpose. */

const MARKERS = 2_000; // in one block, where the cost of each grows with the others
const DEEP = /^(?:[ \t]*>){40}|^(?:[ \t]*[-*+][ \t]){40}|^[ \t]{120,}(?:[-*+]|\d+[.)])[ \t]/;
const FENCE = /^ {0,3}(?:```|~~~)/;

export function isTame(text: string): boolean {
  let markers = 0;
  let isCode = false;
  for (const line of text.split("\n")) {
    if (FENCE.test(line)) isCode = !isCode;
    if (isCode) continue;
    if (DEEP.test(line)) return false;
    if (line.trim() === "") markers = 0;
    else markers += line.match(/[*_~[\]]/g)?.length ?? 0;
    if (markers > MARKERS) return false;
  }
  return true;
}
