import { expect, test } from "vitest";
import { partsOfDraft } from "../src/core/draft";
import { type Action, type ChatState, EMPTY, reduce } from "../src/core/state";
import { loaded, rows } from "./rows";

const TURN = "turn 9";
const TOOL = { type: "tool-weather", toolCallId: "1", state: "input-available" };
const begun: Action = { type: "begun", turnId: TURN, attempt: 1, offset: 0 };
const delta = (offset: number, text: string): Action => ({
  type: "delta",
  turnId: TURN,
  offset,
  text,
});
const part = (index: number, offset: number, given: object, attempt?: number): Action =>
  ({ type: "part", turnId: TURN, index, offset, part: given, attempt }) as Action;
const piece = (index: number, offset: number, text: string): Action => ({
  type: "part-delta",
  turnId: TURN,
  index,
  offset,
  text,
});

const after = (...actions: Action[]): ChatState => actions.reduce(reduce, EMPTY);
const partsOf = ({ turn }: ChatState) => (turn ? partsOfDraft(turn.draft, turn.parts) : null);

const THOUGHT = [part(0, 0, { type: "reasoning", text: "It r" }), piece(0, 4, "ains.")];
const DONE = { ...TOOL, state: "output-available" };

test("the parts of a draft stand where they were written", () => {
  const state = after(
    begun,
    ...THOUGHT,
    part(1, 0, { type: "text" }),
    delta(0, "🎉 Let me see."),
    part(2, 13, TOOL),
    part(3, 15, { type: "text" }),
    delta(13, "\n\nSunny."),
  );
  expect(partsOf(state)).toEqual([
    { type: "reasoning", text: "It rains." },
    { type: "text", text: "🎉 Let me see." },
    TOOL,
    { type: "text", text: "\n\n" },
    { type: "text", text: "Sunny." },
  ]);
});

test("a part's later state takes its place, and what is doubled changes nothing", () => {
  const once = after(begun, ...THOUGHT, part(1, 0, DONE));
  const doubled = after(
    begun,
    ...THOUGHT,
    piece(0, 2, " rains."),
    part(1, 0, TOOL),
    part(1, 0, DONE),
  );
  expect(partsOf(doubled)).toEqual(partsOf(once));
  expect(partsOf(after(begun, THOUGHT[0] as Action, piece(0, 9, "gap")))).toEqual([
    { type: "reasoning", text: "It r" },
  ]);
});

test("another attempt begins without them, and an older one is not listened to", () => {
  const state = after(begun, part(0, 0, TOOL), part(0, 0, DONE, 2), part(1, 0, TOOL, 1));
  expect(partsOf(state)).toEqual([DONE]);
});

test("those of a turn that was loaded are there, and go on from there", () => {
  const draftParts = [{ type: "text", text: "One, " }, TOOL, { type: "text", text: "two" }];
  const response = loaded(rows(1, 3), 3, { draft: "One, two", offset: 8, draftParts });
  const state = after(
    { type: "loaded", part: "newest", response },
    part(1, 5, DONE),
    delta(8, "!"),
  );
  expect(partsOf(state)).toEqual([
    { type: "text", text: "One, " },
    DONE,
    { type: "text", text: "two!" },
  ]);
});

test("text alone has no parts", () => {
  expect(partsOf(after(begun, delta(0, "One")))).toEqual([]);
});
