/** Whether markdown can be read in a moment: some few kilobytes of it take minutes on purpose. */

const MARKERS = 2_000; // in one block, where the cost of each grows with the others
const CELLS = 20_000; // of all tables: a row of one cell is filled up to its header's width
const DEEP = /^(?:[ \t]*>){40}|^(?:[ \t]*[-*+][ \t]){40}|^[ \t]{120,}(?:[-*+]|\d+[.)])[ \t]/;
const BLANK = /^[ \t]*$/;
const DELIMITERS = /^[ \t>|:-]+$/;
// At the start of a line alone: further in, a fence may be a list's and end with it.
const OPENING = /^(?:`{3,}(?=[^`]*$)|~{3,})/;
const CLOSING = /^ {0,3}(`{3,}|~{3,})[ \t]*$/;

export function isWithinLimits(text: string): boolean {
  let markers = 0;
  let columns = 0;
  let cells = 0;
  for (const line of withoutCode(text.split(/\r\n?|\n/))) {
    if (DEEP.test(line)) return false;
    if (BLANK.test(line)) {
      markers = 0;
      columns = 0;
    }
    cells += columns;
    columns = Math.max(columns, columnsOf(line));
    markers += countOf(/[*_~[\]$\\]/g, line);
    markers += 10 * countOf(/\\[([]/g, line) + 40 * countOf(/<[!?]/g, line); // their ends are looked for
    if (markers > MARKERS || cells > CELLS) return false;
  }
  return true;
}

function countOf(marker: RegExp, line: string): number {
  return line.match(marker)?.length ?? 0;
}

/** How many columns a table has whose delimiter row this is; 0 where it is none. */
function columnsOf(line: string): number {
  if (!DELIMITERS.test(line) || !line.includes("-") || !line.includes("|")) return 0;
  return line.split("|").length;
}

/** The lines outside of fenced code, in which nothing is read. */
function* withoutCode(lines: string[]): Generator<string> {
  let fence = "";
  for (const line of lines) {
    if (fence) {
      if (CLOSING.exec(line)?.[1]?.startsWith(fence)) fence = "";
      continue;
    }
    fence = OPENING.exec(line)?.[0] ?? "";
    if (!fence) yield line;
  }
}
