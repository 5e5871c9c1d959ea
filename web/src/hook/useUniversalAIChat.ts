/** A conversation with the AI, as React state: loaded on mount, persisted unless switched off. */

import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { ChatClient } from "../core/client";
import type { ConversationSnapshot } from "../core/conversation";
import { unseen } from "../core/state";
import { belongs } from "../core/threads";
import type { OutboxEntry } from "../core/types";
import {
  type ChatStatus,
  nothing,
  type UniversalAIChat,
  type UniversalAIChatOptions,
} from "./chat";
import { useConversation, useSnapshot } from "./useConversation";
import { useUnstored } from "./useUnstored";

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
  const unstored = useUnstored(client, conversationId, projectId);

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
      await client.send(id ? client.threads.of(id) : thread, body);
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
  const [newThread, setNewThread] = useState(() => client.threads.begin());
  const [shown, setShown] = useState(conversationId);
  if (shown !== conversationId) {
    setShown(conversationId);
    // Back from a conversation to a new one: not the one that was new before.
    if (conversationId === undefined) setNewThread(client.threads.begin());
  }
  const isNew =
    conversationId === undefined || client.threads.conversationOf(newThread) === conversationId;
  return isNew ? newThread : conversationId;
}

function useSettled(
  { threads }: ChatClient,
  thread: string,
  shown: string | undefined,
  onConversation?: (conversationId: string) => void,
): string | null {
  const id = useSyncExternalStore(threads.changes.add, () => threads.conversationOf(thread));
  useEffect(() => {
    if (id && id !== shown) onConversation?.(id);
  }, [id, shown, onConversation]);
  return id;
}

function useOutbox({ outbox }: ChatClient): OutboxEntry[] {
  return useSyncExternalStore(outbox.changes.add, () => outbox.entries);
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
