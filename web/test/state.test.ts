// promise page in trouble: red on late pages joined on with a gap; a second message begins a second conversation
import { describe, expect, test } from "vitest";
import { unseen, withoutReplaced } from "../src/core/entries";
import { actionsOf } from "../src/core/events";
import { type Action, type ChatState, EMPTY, reduce } from "../src/core/state";
import type { OutboxEntry } from "../src/core/types";
import { entry, loaded, row, rows } from "./rows";

const TURN = "turn 9";

function after(...actions: Action[]): ChatState {
  return actions.reduce(reduce, EMPTY);
}

const load = (first: number, last: number, lastSeq = last): Action => ({
  type: "loaded",
  part: "newest",
  response: loaded(rows(first, last), lastSeq),
});
const stored = (seq: number): Action => ({ type: "stored", message: row(seq) });
const delta = (offset: number, text: string, attempt?: number): Action => ({
  type: "delta",
  turnId: TURN,
  offset,
  text,
  ...(attempt && { attempt }),
});
const seqs = (state: ChatState) => state.messages.map((message) => message.seq);

describe("messages", () => {
  test("the next one is added, the same one again changes nothing", () => {
    const state = after(load(1, 4), stored(5), stored(5), stored(3));
    expect(seqs(state)).toEqual([1, 2, 3, 4, 5]);
    expect(state.isBehind).toBe(false);
  });

  test("one that leaves a gap is not shown: what is missing is to be loaded", () => {
    const state = after(load(1, 4), stored(7));
    expect(seqs(state)).toEqual([1, 2, 3, 4]);
    expect(state.isBehind).toBe(true);
  });

  test("what is only announced is to be loaded, unless it is known", () => {
    expect(after(load(1, 4), { type: "announced", seq: 4 }).isBehind).toBe(false);
    expect(after(load(1, 4), { type: "announced", seq: 5 }).isBehind).toBe(true);
  });

  test("in any order, some doubled and one lost: catching up leads to the same messages", () => {
    const events = [stored(5), stored(6), stored(7), stored(8)];
    for (const order of permutations([0, 1, 2, 3])) {
      const arrived = order
        .slice(0, 3)
        .flatMap((index) => [events[index], events[index]] as Action[]);
      const state = after(load(1, 4), ...arrived);
      const newest = state.messages.at(-1)?.seq ?? 0;
      const caughtUp = reduce(state, {
        type: "loaded",
        part: "newer",
        place: newest,
        response: loaded(rows(newest + 1, 8), 8),
      });
      expect(seqs(caughtUp)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(caughtUp.isBehind).toBe(false);
    }
  });

  test("what was streamed while the newest page was loaded is kept", () => {
    const state = after(load(1, 4), stored(5), stored(6), load(1, 5));
    expect(seqs(state)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("older ones are put before, without a double", () => {
    const response = loaded(rows(1, 4), 8);
    const older: Action = { type: "loaded", part: "older", place: 5, response };
    expect(seqs(after(load(5, 8), older, older))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("in a window in the middle nothing is added at its end", () => {
    const around: Action = { type: "loaded", part: "around", response: loaded(rows(11, 20), 90) };
    const state = after(around, stored(91), stored(21));
    expect(seqs(state)).toEqual(seqs(after(around)));
    expect([state.hasNewer, state.isBehind]).toEqual([true, false]);
  });
});

describe("branches", () => {
  const on = (branch: number, seq: number) => ({ ...row(seq), branch });
  /** A conversation of four messages, the third of which was edited: 5 and 6 are the new path. */
  const path = (branch: number, seqs: number[], lastSeq = 6) => {
    const messages = seqs.map((seq) => on(seq < 3 ? 0 : branch, seq));
    const response = loaded(messages, lastSeq);
    const conversation = { ...response.conversation, active_branch: branch };
    const page = { ...response.page, hasOlder: false, hasNewer: false };
    const versions = { position: branch + 1, count: 2, messages: [] };
    const siblings = { [`message ${seqs[2]}`]: versions };
    return { ...response, conversation, page, branch, siblings };
  };
  const newest = (...given: Parameters<typeof path>): Action => ({
    type: "loaded",
    part: "newest",
    response: path(...given),
  });

  test("a path has gaps in its numbers, and goes on at its end", () => {
    const state = after(newest(1, [1, 2, 5, 6]), { type: "stored", message: on(1, 7) });
    expect(seqs(state)).toEqual([1, 2, 5, 6, 7]);
    expect(state).toMatchObject({ isBehind: false, isElsewhere: false, branch: 1 });
  });

  test("a reply that is made once more is there at once, and beside which others is loaded", () => {
    const state = after(newest(1, [1], 4), { type: "stored", message: on(1, 5) });
    expect(seqs(state)).toEqual([1, 5]);
    expect(state.isElsewhere).toBe(true);
  });

  test("what is written on another path is loaded with that path", () => {
    const state = after(newest(0, [1, 2, 3, 4]), { type: "stored", message: on(2, 7) });
    expect(seqs(state)).toEqual([1, 2, 3, 4]);
    expect(state.isElsewhere).toBe(true);
    const there = reduce(state, newest(1, [1, 2, 5, 6], 7));
    expect(seqs(there)).toEqual([1, 2, 5, 6]);
    expect(there.isElsewhere).toBe(false);
    expect(Object.keys(there.siblings)).toEqual(["message 5"]);
  });

  test("an old message that comes late, of another path, changes nothing", () => {
    const state = after(newest(1, [1, 2, 5, 6]), { type: "stored", message: on(0, 3) });
    expect(state).toEqual(after(newest(1, [1, 2, 5, 6])));
  });

  test("that another path is active now is learnt from the topic, a row or a page", () => {
    const shown = newest(0, [1, 2, 3, 4]);
    const { conversation } = path(1, [1, 2, 5, 6]);
    const page: Action = {
      type: "loaded",
      part: "newer",
      place: 4,
      response: { ...path(1, [1, 2, 5]), messages: [on(1, 5)] },
    };
    const same: Action = { type: "switched", branch: 0 };
    expect(after(shown, same).isElsewhere).toBe(false);
    for (const action of [{ ...same, branch: 1 }, { type: "changed", conversation }, page]) {
      const state = after(shown, action as Action);
      expect(state.isElsewhere).toBe(true);
      expect(seqs(state)).toEqual([1, 2, 3, 4]);
    }
  });

  test("a path that was looked for stays, whichever is active", () => {
    const { conversation, ...response } = path(0, [1, 2, 3, 4]);
    const active = { ...conversation, active_branch: 1 };
    const state = after(
      { type: "loaded", part: "around", response: { ...response, conversation: active } },
      { type: "switched", branch: 1 },
      { type: "stored", message: on(1, 7) },
    );
    expect(seqs(state)).toEqual([1, 2, 3, 4]);
    expect(state).toMatchObject({ isAside: true, isElsewhere: false });
    expect(reduce(state, { type: "changed", conversation }).isAside).toBe(false);
  });

  test("what an edit or another reply will stand beside gives way at once, unless that failed", () => {
    const { messages } = after(load(1, 6));
    const left = (body: Partial<OutboxEntry["body"]>, state: OutboxEntry["state"] = "sending") =>
      withoutReplaced(messages, [entry({ state, body: { request: "", ...body } })]).length;
    expect(left({ edits: "message 3" })).toBe(2);
    expect(left({ regenerates: "message 4" })).toBe(3);
    expect(left({ regenerates: "message 3" })).toBe(3);
    expect(left({ edits: "message 3" }, "failed")).toBe(6);
    expect(left({ edits: "of another path" })).toBe(6);
    expect(left({})).toBe(6);
  });
});

describe("a page that comes once another window is shown", () => {
  const page = (part: "newest" | "older" | "newer" | "around", first: number, last: number) =>
    ({
      type: "loaded",
      part,
      place: { older: last + 1, newer: first - 1 }[part as string],
      response: loaded(rows(first, last), 1000),
    }) as Action;

  test("leaves no gap behind older messages", () => {
    const state = after(page("around", 100, 150), page("newest", 951, 1000), page("older", 50, 99));
    expect(seqs(state)).toEqual(seqs(after(page("newest", 951, 1000))));
    expect(state.hasOlder).toBe(true);
  });

  test("leaves no gap before newer messages, and those are still to be loaded", () => {
    const state = after(page("around", 100, 150), page("around", 20, 70), page("newer", 151, 200));
    expect(seqs(state)).toEqual(seqs(after(page("around", 20, 70))));
    expect(state.hasNewer).toBe(true);
  });

  test("doesn't say of the newest messages that there are newer ones", () => {
    const state = after(
      page("around", 100, 150),
      page("newest", 951, 1000),
      page("newer", 151, 200),
    );
    expect(state.hasNewer).toBe(false);
  });
});

describe("a turn's text", () => {
  const begun: Action = { type: "begun", turnId: TURN, attempt: 1, offset: 0 };

  test("is the same however often and in whatever overlap its pieces come", () => {
    const once = after(begun, delta(0, "One, "), delta(5, "two, "), delta(10, "🎉 四."));
    const doubled = after(
      begun,
      delta(0, "One, "),
      delta(0, "One, two, "),
      delta(5, "two, "),
      delta(3, ", two, 🎉"),
      delta(11, " 四."),
      delta(10, "🎉"),
    );
    expect(once.turn?.draft).toBe("One, two, 🎉 四.");
    expect(doubled.turn).toEqual(once.turn);
    expect(once.turn?.length).toBe(14);
  });

  test("with a piece missing stays as it is, and says so", () => {
    const state = after(begun, delta(0, "One, "), delta(10, "three"));
    expect(state.turn).toMatchObject({ draft: "One, ", hasGap: true });
    const mended = [begun, delta(5, "two, three")].reduce(reduce, state);
    expect(mended.turn).toMatchObject({ draft: "One, two, three", hasGap: false });
  });

  test("is begun again by another attempt, and an older one is not listened to", () => {
    const state = after(
      begun,
      delta(0, "Half an ans"),
      delta(0, "Another", 2),
      delta(11, "wer", 1),
    );
    expect(state.turn).toMatchObject({ draft: "Another", attempt: 2 });
  });

  test("is what was loaded, and goes on from there", () => {
    const response = loaded(rows(1, 3), 3, { draft: "One, t", offset: 6 });
    const state = after({ type: "loaded", part: "newest", response }, delta(5, "two"));
    expect(state.turn?.draft).toBe("One, two");
  });

  test("gives way to the stored reply, and nothing late brings it back", () => {
    const reply = { ...row(4), turn_id: TURN };
    const late = loaded(rows(1, 3), 3, { draft: "One" });
    const state = after(
      load(1, 3),
      begun,
      delta(0, "One"),
      { type: "stored", message: reply },
      delta(0, "One"),
      { type: "status", turnId: TURN, status: "thinking" },
      { type: "loaded", part: "newer", response: late },
    );
    expect(state.turn).toBeNull();
    expect(seqs(state)).toEqual([1, 2, 3, 4]);
  });

  test("that ended without its reply has it loaded", () => {
    const state = after(load(1, 3), begun, { type: "status", turnId: TURN, status: "idle" });
    expect(state.isBehind).toBe(true);
    const reply = { ...row(4), turn_id: TURN };
    const response = loaded([reply], 4);
    expect(reduce(state, { type: "loaded", part: "newer", place: 3, response }).turn).toBeNull();
  });
});

test("a stream's events say what it says", () => {
  const [user, reply] = [row(1), { ...row(2), turn_id: TURN }];
  const accepted = { turnId: TURN, conversationId: "c", attempt: 1, offset: 0, userMessage: user };
  const done = { success: true, conversationId: "c", turnId: TURN, replayed: false };
  const state = after(
    ...actionsOf({ name: "accepted", data: accepted }),
    ...actionsOf({ name: "status", data: { turnId: TURN, status: "thinking" } }),
    ...actionsOf({ name: "delta", data: { turnId: TURN, offset: 0, text: "text" } }),
    ...actionsOf({ name: "message", data: reply }),
    ...actionsOf({ name: "done", data: done }),
  );
  expect(seqs(state)).toEqual([1, 2]);
  expect(state.turn).toBeNull();
});

test("an event of a stream that is not known here says nothing", () => {
  expect(actionsOf({ name: "usage", data: {} } as never)).toEqual([]);
});

describe("what is on its way", () => {
  const state = after(load(1, 4));

  test("is shown until its stored row is", () => {
    expect(unseen([entry()], state)).toHaveLength(1);
    expect(unseen([entry({ messageId: "message 3", state: "saved" })], state)).toHaveLength(0);
    expect(unseen([entry({ messageId: "message 5", state: "saved" })], state)).toHaveLength(1);
  });

  test("was stored before a reload unnoticed here: not shown twice", () => {
    const sent = entry({ attempts: 1, after: 2, body: { request: "text 3" } });
    expect(unseen([sent], state)).toHaveLength(0);
    expect(unseen([{ ...sent, attempts: 0 }], state)).toHaveLength(1);
  });

  test("says the same as the message before it: shown, whatever the clocks say", () => {
    const again = entry({ attempts: 1, after: 4, body: { request: "text 3" } });
    expect(unseen([again], state)).toHaveLength(1);
    expect(unseen([{ ...again, createdAt: "2020-01-01T00:00:00.000Z" }], state)).toHaveLength(1);
  });
});

function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, index) =>
    permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]),
  );
}
