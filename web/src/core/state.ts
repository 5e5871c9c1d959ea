/**
 * What is known of one conversation, and how it changes with what is loaded, streamed or broadcast.
 *
 * Pure: the same actions in any order, doubled or with some missing, lead to the same state or to
 * one that says what has to be loaded (`isBehind`).
 */

import type {
  ConversationRow,
  LoadedConversation,
  MessageRow,
  OutboxEntry,
  StreamEvent,
  TurnStatus,
} from "./types.js";

/** The turn that runs, and its text so far. `length` counts code points, as offsets do. */
export interface TurnState {
  turnId: string;
  attempt: number;
  status: TurnStatus;
  draft: string;
  length: number;
  /** Text is missing in between: the turn has to be followed from the start of the gap. */
  hasGap: boolean;
}

export interface ChatState {
  conversation: ConversationRow | null;
  /** Without a gap and in order of `seq`. */
  messages: MessageRow[];
  hasOlder: boolean;
  hasNewer: boolean;
  turn: TurnState | null;
  /** The turn that ended last: events of it that still arrive are late. */
  endedTurn: string | null;
  /** A newer message exists than the window ends with, and it should be loaded. */
  isBehind: boolean;
  isLoaded: boolean;
}

export const EMPTY: ChatState = {
  conversation: null,
  messages: [],
  hasOlder: false,
  hasNewer: false,
  turn: null,
  endedTurn: null,
  isBehind: false,
  isLoaded: false,
};

export type Part = "newest" | "older" | "newer" | "around";

export type Action =
  | { type: "loaded"; part: Part; response: LoadedConversation }
  | { type: "stored"; message: MessageRow }
  | { type: "announced"; seq: number }
  | { type: "begun"; turnId: string; attempt: number; offset: number }
  | { type: "status"; turnId: string; status: TurnStatus; attempt?: number }
  | { type: "delta"; turnId: string; attempt?: number; offset: number; text: string }
  | { type: "ended"; turnId: string }
  | { type: "changed"; conversation: ConversationRow };

export function reduce(state: ChatState, action: Action): ChatState {
  switch (action.type) {
    case "loaded":
      return withLoaded(state, action.part, action.response);
    case "stored":
      return withMessage(state, action.message);
    case "announced":
      return action.seq > newestSeq(state) ? { ...state, isBehind: true } : state;
    case "begun":
      return withTurn(state, action.turnId, action.attempt, action.offset);
    case "status":
      return withStatus(state, action);
    case "delta":
      return withDelta(state, action);
    case "ended":
      return withoutTurn(state, action.turnId);
    case "changed":
      return { ...state, conversation: action.conversation };
  }
}

/** Return the actions that an event of a stream stands for. */
export function actionsOf(event: StreamEvent): Action[] {
  switch (event.name) {
    case "accepted": {
      const { turnId, attempt, offset, userMessage } = event.data;
      return [
        { type: "stored", message: userMessage },
        { type: "begun", turnId, attempt, offset },
      ];
    }
    case "status":
      return [{ type: "status", ...event.data }];
    case "delta":
      return [{ type: "delta", ...event.data }];
    case "message":
      return [{ type: "stored", message: event.data }];
    case "done":
      return [{ type: "ended", turnId: event.data.turnId }];
    default:
      return []; // an error, or what a later server sends
  }
}

export function newestSeq(state: ChatState): number {
  return state.messages.at(-1)?.seq ?? 0;
}

export function oldestSeq(state: ChatState): number {
  return state.messages[0]?.seq ?? 0;
}

/** Entries that the window doesn't show as stored messages yet. */
export function unseen(entries: OutboxEntry[], state: ChatState): OutboxEntry[] {
  const stored = new Set(state.messages.map((message) => message.id));
  return entries.filter((entry) => {
    if (entry.messageId) return !stored.has(entry.messageId);
    return entry.attempts === 0 || !looksStored(entry, state.messages);
  });
}

/** Whether a message was sent before this page was reloaded, and stored unnoticed here. */
function looksStored(entry: OutboxEntry, messages: MessageRow[]): boolean {
  const last = messages.findLast((message) => message.role === "user");
  if (!last || entry.after === undefined) return false;
  return last.seq > entry.after && last.content === entry.body.request;
}

function withLoaded(state: ChatState, part: Part, response: LoadedConversation): ChatState {
  const { messages, page, openTurn } = response;
  const next: ChatState = { ...state, conversation: response.conversation, isLoaded: true };
  if (part === "older") {
    const older = messages.filter((message) => message.seq < oldestSeq(state));
    if (!older.length) return { ...next, hasOlder: state.hasOlder && page.hasOlder };
    if (older.at(-1)?.seq !== oldestSeq(state) - 1) return next; // asked for in another window
    return { ...next, messages: [...older, ...state.messages], hasOlder: page.hasOlder };
  }
  if (part === "newer") {
    const newer = after(messages, newestSeq(state));
    next.messages = newer.length ? [...state.messages, ...newer] : state.messages;
    next.hasNewer = response.lastSeq > newestSeq(next);
    next.isBehind = next.hasNewer && state.isBehind;
  } else {
    // What was streamed while this was on its way is newer than it.
    const streamed = part === "newest" ? after(state.messages, page.newestSeq ?? 0) : [];
    next.messages = [...messages, ...streamed];
    next.hasOlder = page.hasOlder;
    next.hasNewer = page.hasNewer;
    next.isBehind = response.lastSeq > newestSeq(next) && part === "newest";
  }
  if (!openTurn) return next.turn && hasReply(next, next.turn) ? withoutTurn(next) : next;
  const begun = withTurn(next, openTurn.turnId, openTurn.attempt, 0);
  return withDelta(begun, { ...openTurn, offset: 0, text: openTurn.draft });
}

/** Return the rows that follow a place without a gap. */
function after(messages: MessageRow[], seq: number): MessageRow[] {
  return messages
    .filter((row) => row.seq > seq)
    .filter((row, index) => row.seq === seq + 1 + index);
}

function hasReply(state: ChatState, turn: TurnState): boolean {
  return state.messages.some((row) => row.turn_id === turn.turnId && row.role === "assistant");
}

function withMessage(state: ChatState, message: MessageRow): ChatState {
  const newest = newestSeq(state);
  const ended = message.role === "assistant" && message.turn_id === state.turn?.turnId;
  const next = ended ? withoutTurn(state) : state;
  if (state.hasNewer) return message.seq > newest ? next : replaced(next, message);
  if (message.seq === newest + 1) return { ...next, messages: [...state.messages, message] };
  if (message.seq > newest) return { ...state, isBehind: true };
  return replaced(next, message);
}

function replaced(state: ChatState, message: MessageRow): ChatState {
  const place = message.seq - oldestSeq(state);
  const known = state.messages[place];
  if (!known || known.id === message.id) return state;
  return { ...state, messages: state.messages.with(place, message) };
}

function withTurn(state: ChatState, turnId: string, attempt: number, offset: number): ChatState {
  if (turnId === state.endedTurn) return state;
  const turn = state.turn;
  const isSame = turn?.turnId === turnId && turn.attempt === attempt;
  if (isSame && offset <= turn.length) return { ...state, turn: { ...turn, hasGap: false } };
  if (turn?.turnId === turnId && turn.attempt > attempt) return state;
  return {
    ...state,
    turn: { turnId, attempt, status: "accepted", draft: "", length: 0, hasGap: offset > 0 },
  };
}

function withStatus(state: ChatState, action: Action & { type: "status" }): ChatState {
  const { turnId, status, attempt } = action;
  if (status === "idle" || status === "error") {
    // Its reply is stored by now: the message that says so may have been lost on the way.
    return state.turn?.turnId === turnId ? { ...state, isBehind: true } : state;
  }
  const begun = withTurn(state, turnId, attempt ?? state.turn?.attempt ?? 1, 0);
  if (begun.turn?.turnId !== turnId || turnId === state.endedTurn) return begun;
  return { ...begun, turn: { ...begun.turn, status } };
}

function withDelta(state: ChatState, action: Omit<Action & { type: "delta" }, "type">): ChatState {
  const { turnId, attempt, offset, text } = action;
  const begun = withTurn(state, turnId, attempt ?? state.turn?.attempt ?? 1, 0);
  const turn = begun.turn;
  if (turn?.turnId !== turnId || turnId === state.endedTurn) return state;
  if (attempt !== undefined && attempt < turn.attempt) return state;
  if (offset > turn.length) return { ...begun, turn: { ...turn, hasGap: true } };
  const fresh = offset === turn.length ? text : fromCodePoint(text, turn.length - offset);
  if (!fresh) return begun;
  const length = turn.length + countCodePoints(fresh);
  const status = turn.status === "saving" ? "saving" : "generating";
  return { ...begun, turn: { ...turn, draft: turn.draft + fresh, length, status } };
}

function withoutTurn(state: ChatState, turnId = state.turn?.turnId): ChatState {
  if (!turnId) return state;
  const turn = state.turn?.turnId === turnId ? null : state.turn;
  return { ...state, turn, endedTurn: turnId };
}

/** Return what is left of a text without its first so many code points. */
function fromCodePoint(text: string, count: number): string {
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
