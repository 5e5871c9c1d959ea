/** What a text is to a reader, beyond its code units. */

/** Whether nothing of a text can be seen: spaces, and characters of no width. */
export function isBlank(text: string): boolean {
  return /^[\s\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]*$/u.test(text);
}

/** The direction of a text's first word. A browser asked for it reads all of a long one, each time. */
export function directionOf(text: string): "ltr" | "rtl" {
  const letter = /\p{L}/u.exec(text.slice(0, 1_000))?.[0] ?? "";
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1eeff}]/u.test(
    letter,
  )
    ? "rtl"
    : "ltr";
}

const LONGEST_CHARACTER = 64; // code units, such as those of a family with skin tones

/** The first so many code units of a text, none of its characters cut. */
export function firstPart(text: string, length: number): string {
  return text.slice(0, boundary(text, length));
}

/** The last so many code units of a text, none of its characters cut. */
export function lastPart(text: string, length: number): string {
  return text.slice(boundary(text, text.length - length));
}

/** The last place between two characters at or before this one. */
function boundary(text: string, place: number): number {
  if (place >= text.length) return text.length;
  const start = Math.max(0, place - LONGEST_CHARACTER);
  const around = text.slice(start, place + LONGEST_CHARACTER);
  const characters = [...new Intl.Segmenter(undefined).segment(around)];
  return start + (characters.findLast(({ index }) => start + index <= place)?.index ?? 0);
}

/** Return what is left of a text without its first so many code points. */
export function fromCodePoint(text: string, count: number): string {
  let index = 0;
  for (let skipped = 0; skipped < count && index < text.length; skipped += 1) {
    index += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
  }
  return text.slice(index);
}

export function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
