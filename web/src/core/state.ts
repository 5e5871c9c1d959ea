/**
 * What is known of one conversation, and how it changes with what is loaded, streamed or broadcast.
 *
 * Pure: the same actions in any order, doubled or with some missing, lead to the same state or to
 * one that says what has to be loaded (`isBehind`).
 */

import { type DraftPart, withLoadedParts, withPartChange, withPartPiece } from "./draft.js";
import { countCodePoints, fromCodePoint } from "./text.js";
import type {
  ConversationRow,
  LoadedConversation,
  MessageRow,
  PartChange,
  PartPiece,
  Siblings,
  TurnStatus,
} from "./types.js";

/** The turn that runs, and its text so far. `length` counts code points, as offsets do. */
export interface TurnState {
  turnId: string;
  attempt: number;
  status: TurnStatus;
  draft: string;
  length: number;
  /** What it has beside its text, by its places there. */
  parts: DraftPart[];
  /** Text is missing in between: the turn has to be followed from the start of the gap. */
  hasGap: boolean;
}

export interface ChatState {
  conversation: ConversationRow | null;
  /** Of one path, without a gap in it and in order of `seq`. */
  messages: MessageRow[];
  /** The branch that the path ends with. */
  branch: number;
  /** The newest message of any path that came in without a gap. */
  lastSeq: number;
  /** By the id of a message, of those that have some. */
  siblings: Record<string, Siblings>;
  hasOlder: boolean;
  hasNewer: boolean;
  turn: TurnState | null;
  /** The turn that ended last: events of it that still arrive are late. */
  endedTurn: string | null;
  /** A newer message exists than the window ends with, and it should be loaded. */
  isBehind: boolean;
  /** Another path is the active one by now, and should be loaded. */
  isElsewhere: boolean;
  /** The path was looked for, and is shown whichever is active. */
  isAside: boolean;
  isLoaded: boolean;
}

export const EMPTY: ChatState = {
  conversation: null,
  messages: [],
  branch: 0,
  lastSeq: 0,
  siblings: {},
  hasOlder: false,
  hasNewer: false,
  turn: null,
  endedTurn: null,
  isBehind: false,
  isElsewhere: false,
  isAside: false,
  isLoaded: false,
};

export type Part = "newest" | "older" | "newer" | "around";

export type Action =
  | { type: "loaded"; part: Part; response: LoadedConversation; place?: number }
  | { type: "stored"; message: MessageRow }
  | { type: "announced"; seq: number }
  | { type: "begun"; turnId: string; attempt: number; offset: number }
  | { type: "status"; turnId: string; status: TurnStatus; attempt?: number }
  | { type: "delta"; turnId: string; attempt?: number; offset: number; text: string }
  | ({ type: "part" } & PartChange)
  | ({ type: "part-delta" } & PartPiece)
  | { type: "ended"; turnId: string }
  | { type: "changed"; conversation: ConversationRow }
  | { type: "switched"; branch?: number };

export function reduce(state: ChatState, action: Action): ChatState {
  switch (action.type) {
    case "loaded":
      return withLoaded(state, action);
    case "stored":
      return withMessage(state, action.message);
    case "announced":
      return action.seq > state.lastSeq ? { ...state, isBehind: true } : state;
    case "begun":
      return withTurn(state, action.turnId, action.attempt, action.offset);
    case "status":
      return withStatus(state, action);
    case "delta":
      return withDelta(state, action);
    case "part":
      return withParts(state, action, (parts) => withPartChange(parts, action));
    case "part-delta":
      return withParts(state, action, (parts) => withPartPiece(parts, action));
    case "ended":
      return withoutTurn(state, action.turnId);
    case "changed":
      return withActive({ ...state, conversation: action.conversation });
    case "switched":
      return action.branch === state.branch ? state : elsewhere(state);
  }
}

export function newestSeq(state: ChatState): number {
  return state.messages.at(-1)?.seq ?? 0;
}

export function oldestSeq(state: ChatState): number {
  return state.messages[0]?.seq ?? 0;
}

function withLoaded(state: ChatState, action: Action & { type: "loaded" }): ChatState {
  const { conversation, openTurn } = action.response;
  const next = { ...withPage(state, action), conversation, isLoaded: true };
  if (!openTurn) return next.turn && hasReply(next, next.turn) ? withoutTurn(next) : next;
  const begun = withTurn(next, openTurn.turnId, openTurn.attempt, 0);
  const written = withDelta(begun, { ...openTurn, offset: 0, text: openTurn.draft });
  return withParts(written, openTurn, (parts) => withLoadedParts(parts, openTurn.draftParts));
}

/** Put a page where it was asked for; what no longer fits there is left out. */
function withPage(state: ChatState, action: Action & { type: "loaded" }): ChatState {
  const { part, place = 0, response } = action;
  const { messages, page } = response;
  const branch = response.branch ?? 0;
  const siblings = { ...state.siblings, ...response.siblings };
  const newest = newestSeq(state);
  if (part === "older") {
    if (place !== oldestSeq(state)) return state; // asked for in another window
    return {
      ...state,
      siblings,
      messages: [...messages, ...state.messages],
      hasOlder: page.hasOlder,
    };
  }
  if (part === "newer") {
    if (place !== newest && !state.messages.some(({ seq }) => seq === place)) return state;
    if (branch !== state.branch) return elsewhere(state);
    const newer = messages.filter(({ seq }) => seq > newest);
    const hasNewer = page.hasNewer && newest <= (page.newestSeq ?? place);
    return {
      ...state,
      siblings,
      messages: newer.length ? [...state.messages, ...newer] : state.messages,
      lastSeq: Math.max(state.lastSeq, response.lastSeq),
      hasNewer,
      isBehind: hasNewer && state.isBehind,
    };
  }
  // What was streamed while this was on its way is newer than it.
  const streamed = part === "newest" ? behind(state.messages, response.lastSeq, branch) : [];
  return {
    ...state,
    siblings: response.siblings ?? {},
    messages: [...messages, ...streamed],
    branch,
    lastSeq: response.lastSeq + streamed.length,
    hasOlder: page.hasOlder,
    hasNewer: page.hasNewer,
    isBehind: false,
    isElsewhere: false,
    isAside: part === "around" && branch !== (response.conversation.active_branch ?? 0),
  };
}

/** Return the rows of a branch that follow a place without a gap. */
function behind(messages: MessageRow[], seq: number, branch: number): MessageRow[] {
  return messages
    .filter((row) => row.seq > seq)
    .filter((row, index) => row.seq === seq + 1 + index && branchOf(row) === branch);
}

function branchOf(message: MessageRow | undefined): number {
  return message?.branch ?? 0;
}

function elsewhere(state: ChatState): ChatState {
  return state.isAside ? state : { ...state, isElsewhere: true };
}

/** Say whether the path that is shown is the active one, now that it is known which that is. */
function withActive(state: ChatState): ChatState {
  const isActive = state.branch === (state.conversation?.active_branch ?? 0);
  return isActive ? { ...state, isAside: false } : elsewhere(state);
}

function hasReply(state: ChatState, turn: TurnState): boolean {
  return state.messages.some((row) => row.turn_id === turn.turnId && row.role === "assistant");
}

function withMessage(state: ChatState, message: MessageRow): ChatState {
  const ended = message.role === "assistant" && message.turn_id === state.turn?.turnId;
  const next = ended ? withoutTurn(state) : state;
  if (message.seq <= state.lastSeq) return replaced(next, message);
  if (state.hasNewer) return next;
  if (message.seq > state.lastSeq + 1) return { ...state, isBehind: true };
  const known = { ...next, lastSeq: message.seq };
  if (branchOf(message) !== state.branch) return elsewhere(known);
  const messages = [...state.messages, message];
  // The first of its branch stands beside others: how many, only a load says.
  const isFirst = state.branch > 0 && branchOf(state.messages.at(-1)) !== state.branch;
  return isFirst ? elsewhere({ ...known, messages }) : { ...known, messages };
}

function replaced(state: ChatState, message: MessageRow): ChatState {
  const place = state.messages.findLastIndex(({ seq }) => seq === message.seq);
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
    turn: {
      turnId,
      attempt,
      status: "accepted",
      draft: "",
      length: 0,
      parts: [],
      hasGap: offset > 0,
    },
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

/** Change the parts of the turn that runs, unless it is of an attempt that is over. */
function withParts(
  state: ChatState,
  { turnId, attempt }: { turnId: string; attempt?: number },
  change: (parts: DraftPart[]) => DraftPart[],
): ChatState {
  const begun = withTurn(state, turnId, attempt ?? state.turn?.attempt ?? 1, 0);
  const turn = begun.turn;
  if (turn?.turnId !== turnId || (attempt !== undefined && attempt < turn.attempt)) return state;
  return { ...begun, turn: { ...turn, parts: change(turn.parts) } };
}

function withoutTurn(state: ChatState, turnId = state.turn?.turnId): ChatState {
  if (!turnId) return state;
  const turn = state.turn?.turnId === turnId ? null : state.turn;
  return { ...state, turn, endedTurn: turnId };
}
