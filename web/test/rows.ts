/** Rows for tests. */

import {
  EMPTY_ROW,
  type LoadedConversation,
  type MessageRow,
  type OpenTurn,
  type OutboxEntry,
  type Role,
} from "../src/core/types";

export function row(seq: number, role: Role = seq % 2 ? "user" : "assistant"): MessageRow {
  return {
    ...EMPTY_ROW,
    id: `message ${seq}`,
    conversation_id: "c",
    role,
    content: `text ${seq}`,
    user_id: "u",
    created_at: new Date(Date.UTC(2026, 10, 1, 0, 0, seq)).toISOString(),
    seq,
    turn_id: `turn ${Math.ceil(seq / 2)}`,
  };
}

export function rows(first: number, last: number): MessageRow[] {
  return Array.from({ length: last - first + 1 }, (_, index) => row(first + index));
}

export function loaded(
  messages: MessageRow[],
  lastSeq = messages.at(-1)?.seq ?? 0,
  openTurn: Partial<OpenTurn> | null = null,
): LoadedConversation {
  const [oldest, newest] = [messages[0]?.seq ?? null, messages.at(-1)?.seq ?? null];
  return {
    conversation: {
      id: "c",
      user_id: "u",
      project_id: null,
      title: "Title",
      metadata: {},
      last_seq: lastSeq,
      created_at: "",
      updated_at: "",
      archived_at: null,
    },
    messages,
    page: {
      hasOlder: (oldest ?? 1) > 1,
      hasNewer: (newest ?? 0) < lastSeq,
      oldestSeq: oldest,
      newestSeq: newest,
    },
    lastSeq,
    openTurn: openTurn && {
      turnId: "turn 9",
      status: "running",
      attempt: 1,
      userMessageId: "",
      draft: "",
      offset: 0,
      startedAt: "",
      leaseExpiresAt: "",
      ...openTurn,
    },
  };
}

export function entry(change: Partial<OutboxEntry> = {}): OutboxEntry {
  return {
    key: "key",
    thread: "c",
    body: { request: "Hello" },
    state: "queued",
    createdAt: "2026-11-01T00:00:00.000Z",
    order: 1,
    attempts: 0,
    ...change,
  };
}
