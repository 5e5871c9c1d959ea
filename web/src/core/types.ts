/** Rows as the database has them, and what the functions respond around them. */

import type { Part } from "./parts.js";

export type Role = "user" | "assistant" | "system";

export interface ConversationRow {
  id: string;
  user_id: string;
  project_id: string | null;
  title: string;
  metadata: Record<string, unknown>;
  last_seq: number;
  /** The branch that the path which is shown and written to ends with. */
  active_branch?: number;
  last_branch?: number;
  created_at: string;
  updated_at: string;
  archived_at: string | null;
}

export interface GeneratedFile {
  path: string;
  language: string;
  content?: string;
}

export interface ReplyError {
  type: string;
  message: string;
}

export interface MessageMetadata {
  success?: boolean;
  error?: ReplyError;
  filesGenerated?: number;
  files?: GeneratedFile[];
  duration?: number;
  engine?: string;
  timestamp?: string;
  [key: string]: unknown;
}

export interface MessageRow {
  id: string;
  conversation_id: string;
  role: Role;
  content: string;
  generated_code: string | null;
  metadata: MessageMetadata;
  user_id: string;
  is_summary: boolean;
  created_at: string;
  seq: number;
  turn_id: string | null;
  /** The stretch of the conversation that it was written on. */
  branch?: number;
  /** In the AI SDK's shapes; none where the message is its content alone. */
  parts?: Part[];
}

/** What a message has in the columns that nothing was said about. */
export const EMPTY_ROW = {
  conversation_id: "",
  content: "",
  generated_code: null,
  metadata: {},
  user_id: "",
  is_summary: false,
  turn_id: null,
};

export interface Page {
  hasOlder: boolean;
  hasNewer: boolean;
  oldestSeq: number | null;
  newestSeq: number | null;
}

/** The turn that still runs. `offset` counts the draft's characters (code points). */
export interface OpenTurn {
  turnId: string;
  status: string;
  attempt: number;
  userMessageId: string;
  draft: string;
  /** None where the draft is text alone. */
  draftParts?: Part[];
  offset: number;
  startedAt: string;
  leaseExpiresAt: string;
}

/** The messages that follow the same one as a message: which of how many it is, and its nearest. */
export interface Siblings {
  position: number;
  count: number;
  messages: Sibling[];
}

/** `branch` ends the path through the message that was written to last. */
export interface Sibling {
  id: string;
  branch: number;
}

export interface LoadedConversation {
  conversation: ConversationRow;
  messages: MessageRow[];
  page: Page;
  lastSeq: number;
  /** The one that the path of these messages ends with. */
  branch?: number | null;
  /** By the id of a message, of those that have some. */
  siblings?: Record<string, Siblings>;
  openTurn: OpenTurn | null;
}

export interface ConversationChange {
  title?: string;
  archived?: boolean;
  activeBranch?: number;
}

export interface ConversationList {
  conversations: ConversationRow[];
  nextCursor: string | null;
}

export type TurnStatus = "accepted" | "thinking" | "generating" | "saving" | "idle" | "error";

/** The events of a stream of `mega-mind`, in the order they come. */
export type StreamEvent =
  | {
      name: "accepted";
      data: {
        turnId: string;
        conversationId: string;
        attempt: number;
        offset: number;
        userMessage: MessageRow;
      };
    }
  | { name: "status"; data: { turnId: string; status: TurnStatus } }
  | { name: "delta"; data: { turnId: string; offset: number; text: string } }
  | { name: "part"; data: PartChange }
  | { name: "part-delta"; data: PartPiece }
  | { name: "message"; data: MessageRow }
  | { name: "done"; data: Done }
  | { name: "error"; data: ErrorBody };

/** A part of a draft that is new, or takes the place of the one with its index. */
export interface PartChange {
  turnId: string;
  attempt?: number;
  index: number;
  /** Where in the draft's text it stands: after so many characters. */
  offset: number;
  part: Part;
}

/** What the text of a reasoning part has grown by, from an offset in it on. */
export interface PartPiece {
  turnId: string;
  attempt?: number;
  index: number;
  offset: number;
  text: string;
}

/** How a turn has ended. Its rows came before: with `accepted` and with `message`. */
export interface Done {
  success: boolean;
  conversationId: string;
  turnId: string;
  replayed: boolean;
}

/** The events of a conversation's private topic. Each is a hint: the table is the truth. */
export type LiveEvent =
  | { event: "status"; payload: { turnId: string; status: TurnStatus; attempt?: number } }
  | { event: "delta"; payload: { turnId: string; offset: number; text: string; attempt?: number } }
  | { event: "part"; payload: PartChange }
  | { event: "part-delta"; payload: PartPiece }
  | {
      event: "message";
      payload: { id: string; seq: number; role: Role; turnId: string | null; row?: MessageRow };
    }
  | { event: "branch"; payload: { activeBranch: number } };

/** The shape of every error that the functions respond with. */
export interface ErrorBody {
  code: string;
  message: string;
  details?: unknown;
  hint?: string | null;
}

export interface SendBody {
  request: string;
  conversationId?: string;
  projectId?: string;
  persistMessages?: false;
  metadata?: Record<string, unknown>;
  /** The user's message that this one is to stand beside. */
  edits?: string;
  /** The message that is to be answered once more, or its reply. There is no request then. */
  regenerates?: string;
  /** Whose message it is: refused where somebody else is signed in by now. */
  userId?: string;
}

/** A message on its way: written down here before it is sent, gone once it is answered. */
export interface OutboxEntry<Body = SendBody> {
  /** The idempotency key: made before the first attempt, the same for every one. */
  key: string;
  /** The conversation it belongs to, or a name made up here until that has an id. */
  thread: string;
  body: Body;
  /** The conversation's id, once it is known. */
  conversationId?: string;
  state: "queued" | "sending" | "saved" | "failed";
  createdAt: string;
  /** Its place in the browser's outbox. */
  order: number;
  attempts: number;
  /** The newest message that was known here when it was first sent. */
  after?: number;
  /** The stored row, once it is known. */
  messageId?: string;
  /** Why it failed, or why it is being tried again. */
  error?: ErrorBody;
  /** Where a limit was met, when it is sent again: milliseconds since 1970. */
  nextAt?: number;
}

/** A message that a search has found. Marks count code points of the snippet's text. */
export interface SearchHit {
  messageId: string;
  conversationId: string;
  title: string;
  archivedAt: string | null;
  seq: number;
  role: Role;
  createdAt: string;
  snippet: {
    text: string;
    marks: { start: number; end: number }[];
    hasBefore: boolean;
    hasAfter: boolean;
  };
}

export interface SearchPage {
  hits: SearchHit[];
  parts: boolean;
  truncated: boolean;
  /** Not all that was stored lately could be searched yet. */
  incomplete: boolean;
  nextCursor: string | null;
}

export interface Spread {
  measured: number;
  median: number | null;
  p95: number | null;
}

export interface Figures {
  turns: number;
  running: number;
  completed: number;
  failed: number;
  cancelled: number;
  interrupted: number;
  successRate: number | null;
  duration: Spread;
  filesGenerated: number;
  usage: { turns: number; inputTokens: number; outputTokens: number; cost: number | null };
  persistence: { replaysDeduplicated: number; recovered: number; timeToFirstPersist: Spread };
}

export interface Analytics {
  totals: Figures;
  buckets: (Figures & { start: string; end: string })[];
  intents: { name: string; turns: number }[];
  complexities: { name: string; turns: number }[];
  strategies: { name: string; turns: number }[];
}

export interface ImportReport {
  sources: string[];
  messages: number;
  taken: { conversationId: string; title: string; messages: number }[];
  updated: { conversationId: string; title: string; messages: number; changed: number }[];
  skipped: { title: string; reason: string }[];
}
