/** The parts of a draft, in their order, and where in its text they stand. */

import type { Part } from "./parts.js";
import { countCodePoints, fromCodePoint } from "./text.js";
import type { PartChange, PartPiece } from "./types.js";

/** A text part has no text of its own: it is the draft's, from the offset (code points) on. */
export interface DraftPart {
  index: number;
  offset: number;
  part: Part;
}

export function withPartChange(
  parts: DraftPart[],
  { index, offset, part }: PartChange,
): DraftPart[] {
  const others = parts.filter((each) => each.index !== index);
  return [...others, { index, offset, part }].sort((a, b) => a.index - b.index);
}

/** Let a part's text grow; a piece that is doubled changes nothing, one behind a gap neither. */
export function withPartPiece(parts: DraftPart[], { index, offset, text }: PartPiece): DraftPart[] {
  return parts.map((each) => {
    if (each.index !== index) return each;
    const known = typeof each.part.text === "string" ? each.part.text : "";
    const length = countCodePoints(known);
    if (offset > length) return each;
    return { ...each, part: { ...each.part, text: known + fromCodePoint(text, length - offset) } };
  });
}

/** The parts of a draft that was loaded, each text with its own: those that are known stay. */
export function withLoadedParts(parts: DraftPart[], loaded: Part[] = []): DraftPart[] {
  const known = new Set(parts.map(({ index }) => index));
  let offset = 0;
  const added = loaded.map((part, index) => {
    const place = { index, offset, part };
    if (part.type === "text" && typeof part.text === "string") offset += countCodePoints(part.text);
    return place;
  });
  return [...parts, ...added.filter(({ index }) => !known.has(index))].sort(
    (a, b) => a.index - b.index,
  );
}

/** The parts as those of a message; none where the draft is text alone. */
export function partsOfDraft(draft: string, parts: DraftPart[]): Part[] {
  if (parts.length === 0) return [];
  const characters = Array.from(draft);
  const found: Part[] = [];
  const addText = (start: number, end?: number) => {
    const text = characters.slice(start, end).join("");
    if (text) found.push({ type: "text", text });
  };
  addText(0, parts[0]?.offset);
  for (const [place, { offset, part }] of parts.entries()) {
    if (part.type !== "text") found.push(part);
    addText(offset, parts[place + 1]?.offset);
  }
  return found;
}
