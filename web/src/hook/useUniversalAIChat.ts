/** A conversation with the AI, as React state: loaded on mount, persisted unless switched off. */

import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { belongs, type ChatClient } from "../core/client";
import type { Connection, Conversation, ConversationSnapshot } from "../core/conversation";
import type { ChatError } from "../core/errors";
import { EMPTY, type TurnState, unseen } from "../core/state";
import type { ConversationRow, ErrorBody, MessageRow, OutboxEntry } from "../core/types";
import { useUnstored } from "./useUnstored";

export interface UniversalAIChatOptions {
  client: ChatClient;
  /** The conversation to show; without one, the first message starts one. */
  conversationId?: string;
  projectId?: string;
  /** False: the AI answers, and nothing is stored anywhere. */
  persistMessages?: boolean;
  /** Told the id of a conversation that the first message has started. */
  onConversation?: (conversationId: string) => void;
}

export type ChatStatus = "loading" | "ready" | "sending" | "thinking" | "generating" | "saving";

export interface UniversalAIChat {
  /** The same for as long as one conversation is shown, also while a new one gets its id. */
  thread: string;
  conversationId: string | null;
  conversation: ConversationRow | null;
  /** What the database holds, in order. */
  messages: MessageRow[];
  /** What is on its way there: queued, being sent, or failed. */
  pending: OutboxEntry[];
  /** The turn that runs, and its text so far. */
  turn: TurnState | null;
  status: ChatStatus;
  connection: Connection;
  error: ChatError | ErrorBody | null;
  hasOlder: boolean;
  hasNewer: boolean;
  isLoadingOlder: boolean;
  send(text: string, metadata?: Record<string, unknown>): Promise<void>;
  stop(): Promise<void>;
  /** Send a message that failed once more, under the key it had. */
  retry(key: string): Promise<void>;
  /** Forget a message that was not stored. */
  discard(key: string): Promise<void>;
  reload(): Promise<void>;
  loadOlder(): Promise<void>;
  loadNewer(): Promise<void>;
  loadNewest(): Promise<void>;
  /** Show the place of a message, such as a hit of a search. */
  loadAround(messageId: string): Promise<void>;
}

const CLOSED: ConversationSnapshot = {
  ...EMPTY,
  connection: "connecting",
  isLoading: false,
  isLoadingOlder: false,
  error: null,
};
const nothing = async () => undefined;

export function useUniversalAIChat({
  client,
  conversationId,
  projectId,
  persistMessages = true,
  onConversation,
}: UniversalAIChatOptions): UniversalAIChat {
  const thread = useThread(client, conversationId);
  const id = useSettled(client, thread, conversationId, onConversation);
  const open = useConversation(client, id);
  const snapshot = useSnapshot(open);
  const entries = useOutbox(client);
  const unstored = useUnstored(client, projectId);

  const pending = useMemo(
    () =>
      unseen(
        entries.filter((entry) => belongs(entry, thread, id)),
        snapshot,
      ),
    [entries, thread, id, snapshot],
  );
  const send = useCallback(
    async (text: string, metadata?: Record<string, unknown>) => {
      const body = {
        request: text,
        ...(id && { conversationId: id }),
        ...(projectId && { projectId }),
        ...(metadata && { metadata }),
      };
      await client.send(id ? client.threadOf(id) : thread, body);
    },
    [client, id, thread, projectId],
  );
  const turnId = snapshot.turn?.turnId;
  const stop = useCallback(async () => {
    if (turnId) await open?.stop(turnId);
  }, [open, turnId]);

  if (!persistMessages) return unstored;
  return {
    thread,
    conversationId: id,
    conversation: snapshot.conversation,
    messages: snapshot.messages,
    pending,
    turn: snapshot.turn,
    status: statusOf(snapshot, pending, id),
    connection: snapshot.connection,
    error: snapshot.error,
    hasOlder: snapshot.hasOlder,
    hasNewer: snapshot.hasNewer,
    isLoadingOlder: snapshot.isLoadingOlder,
    send,
    stop,
    retry: (key) => client.retry(key, id ? undefined : thread),
    discard: (key) => client.outbox.remove(key),
    reload: () => open?.loadNewest() ?? nothing(),
    loadOlder: () => open?.loadOlder() ?? nothing(),
    loadNewer: () => open?.loadNewer() ?? nothing(),
    loadNewest: () => open?.loadNewest() ?? nothing(),
    loadAround: (messageId) => open?.loadAround(messageId) ?? nothing(),
  };
}

/** The thread that is written to: the conversation, or a new one's. */
function useThread(client: ChatClient, conversationId: string | undefined): string {
  const [draft, setDraft] = useState(() => client.newThread());
  const [shown, setShown] = useState(conversationId);
  if (shown !== conversationId) {
    setShown(conversationId);
    // Back from a conversation to a new one: not the one that was new before.
    if (conversationId === undefined) setDraft(client.newThread());
  }
  const isDraft = conversationId === undefined || client.conversationOf(draft) === conversationId;
  return isDraft ? draft : conversationId;
}

function useSettled(
  client: ChatClient,
  thread: string,
  shown: string | undefined,
  onConversation?: (conversationId: string) => void,
): string | null {
  const subscribe = useCallback((told: () => void) => client.onThreadSettled(told), [client]);
  const id = useSyncExternalStore(subscribe, () => client.conversationOf(thread));
  useEffect(() => {
    if (id && id !== shown) onConversation?.(id);
  }, [id, shown, onConversation]);
  return id;
}

function useConversation(client: ChatClient, id: string | null): Conversation | null {
  const [open, setOpen] = useState<{ client: ChatClient; conversation: Conversation } | null>(null);
  useEffect(() => {
    if (!id) return setOpen(null);
    setOpen({ client, conversation: client.acquire(id) });
    return () => client.release(id);
  }, [client, id]);
  // Until the effect has run, it is the conversation shown before, or another user's view of it.
  return open?.client === client && open.conversation.id === id ? open.conversation : null;
}

function useSnapshot(open: Conversation | null): ConversationSnapshot {
  const subscribe = useCallback(
    (told: () => void) => open?.subscribe(told) ?? (() => undefined),
    [open],
  );
  return useSyncExternalStore(subscribe, () => open?.getSnapshot() ?? CLOSED);
}

function useOutbox(client: ChatClient): OutboxEntry[] {
  const subscribe = useCallback((told: () => void) => client.outbox.onChange(told), [client]);
  return useSyncExternalStore(subscribe, () => client.outbox.entries);
}

function statusOf(
  snapshot: ConversationSnapshot,
  pending: OutboxEntry[],
  id: string | null,
): ChatStatus {
  const { turn } = snapshot;
  if (turn)
    return turn.status === "generating" || turn.status === "saving" ? turn.status : "thinking";
  if (pending.some((entry) => entry.state === "sending")) return "sending";
  return id && !snapshot.isLoaded && !snapshot.error ? "loading" : "ready";
}
