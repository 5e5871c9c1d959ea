/** Rows as the database has them, and what the functions respond around them. */

export type Role = "user" | "assistant" | "system";

export interface ConversationRow {
  id: string;
  user_id: string;
  project_id: string | null;
  title: string;
  metadata: Record<string, unknown>;
  last_seq: number;
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
}

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
  offset: number;
  startedAt: string;
  leaseExpiresAt: string;
}

export interface LoadedConversation {
  conversation: ConversationRow;
  messages: MessageRow[];
  page: Page;
  lastSeq: number;
  openTurn: OpenTurn | null;
}

export interface ConversationChange {
  title?: string;
  archived?: boolean;
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
  | { name: "message"; data: MessageRow }
  | { name: "done"; data: Done }
  | { name: "error"; data: ErrorBody };

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
  | {
      event: "message";
      payload: { id: string; seq: number; role: Role; turnId: string | null; row?: MessageRow };
    };

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
