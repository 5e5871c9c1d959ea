/** A conversation with the AI, as React state: loaded on mount, persisted unless switched off. */

import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { ChatClient } from "../core/client.js";
import type { ConversationSnapshot } from "../core/snapshot.js";
import { signedOut } from "../core/errors.js";
import { unseen, withoutReplaced } from "../core/entries.js";
import { belongs, newThread } from "../core/threads.js";
import type { OutboxEntry, SendBody, Sibling } from "../core/types.js";
import {
  type ChatStatus,
  nothing,
  type UniversalAIChat,
  type UniversalAIChatOptions,
} from "./chat.js";
import { useChatContext } from "./context.js";
import { useConversation, useSnapshot } from "./useConversation.js";
import { useUnstored } from "./useUnstored.js";

export function useUniversalAIChat({
  conversationId: given,
  projectId,
  persistMessages = true,
  onConversation,
}: UniversalAIChatOptions = {}): UniversalAIChat {
  const { client, session } = useChatContext();
  const conversationId = given?.toLowerCase(); // as the database writes it, and its topics
  const thread = useThread(client, conversationId);
  const id = useSettled(client, thread, conversationId, onConversation);
  const open = useConversation(client, id);
  const snapshot = useSnapshot(open);
  const entries = useOutbox(client);
  const unstored = useUnstored(client, conversationId, projectId);

  const own = useMemo(
    () => entries.filter((entry) => belongs(entry, thread, id)),
    [entries, thread, id],
  );
  const pending = useMemo(() => unseen(own, snapshot), [own, snapshot]);
  const messages = useMemo(() => withoutReplaced(snapshot.messages, own), [own, snapshot.messages]);
  const post = useCallback(
    async (body: SendBody) => {
      if (!client) throw signedOut();
      const place = { ...(id && { conversationId: id }), ...(projectId && { projectId }) };
      await client.send(id ? client.threads.of(id) : thread, { ...body, ...place });
    },
    [client, id, thread, projectId],
  );
  const send = useCallback(
    (text: string, metadata?: Record<string, unknown>) =>
      post({ request: text, ...(metadata && { metadata }) }),
    [post],
  );
  const edit = useCallback(
    (messageId: string, text: string) => post({ request: text, edits: messageId }),
    [post],
  );
  const regenerate = useCallback(
    (messageId: string) => post({ request: "", regenerates: messageId }),
    [post],
  );
  const show = useCallback(async (sibling: Sibling) => open?.show(sibling), [open]);
  const turnId = snapshot.turn?.turnId;
  const stop = useCallback(async () => {
    if (turnId) await open?.stop(turnId);
  }, [open, turnId]);

  if (!persistMessages) return unstored;
  return {
    thread,
    conversationId: id,
    conversation: snapshot.conversation,
    messages,
    siblings: snapshot.siblings,
    pending,
    turn: snapshot.turn,
    status: session === undefined ? "loading" : statusOf(snapshot, pending, id),
    connection: snapshot.connection,
    error: session === null ? SIGNED_OUT : snapshot.error,
    hasOlder: snapshot.hasOlder,
    hasNewer: snapshot.hasNewer,
    isLoadingOlder: snapshot.isLoadingOlder,
    send,
    edit,
    regenerate,
    show,
    stop,
    retry: async (key) => client?.retry(key, id ? undefined : thread),
    discard: async (key) => client?.outbox.remove(key),
    reload: () => open?.loadNewest() ?? nothing(),
    loadOlder: () => open?.loadOlder() ?? nothing(),
    loadNewer: () => open?.loadNewer() ?? nothing(),
    loadNewest: () => open?.loadNewest() ?? nothing(),
    loadAround: (messageId) => open?.loadAround(messageId) ?? nothing(),
  };
}

/** The thread that is written to: the conversation, or a new one's. */
function useThread(client: ChatClient | null, conversationId: string | undefined): string {
  const [begun, setBegun] = useState(newThread);
  const [shown, setShown] = useState(conversationId);
  if (shown !== conversationId) {
    setShown(conversationId);
    // Back from a conversation to a new one: not the one that was new before.
    if (conversationId === undefined) setBegun(newThread());
  }
  const isNew =
    conversationId === undefined || client?.threads.conversationOf(begun) === conversationId;
  return isNew ? begun : conversationId;
}

function useSettled(
  client: ChatClient | null,
  thread: string,
  shown: string | undefined,
  onConversation?: (conversationId: string) => void,
): string | null {
  const settled = () => client?.threads.conversationOf(thread) ?? null;
  const id = useSyncExternalStore(client?.threads.changes.add ?? never, settled, settled);
  useEffect(() => {
    if (id && id !== shown) onConversation?.(id);
  }, [id, shown, onConversation]);
  return id;
}

function useOutbox(client: ChatClient | null): OutboxEntry[] {
  const entries = () => client?.outbox.entries ?? NO_ENTRIES;
  return useSyncExternalStore(client?.outbox.changes.add ?? never, entries, entries);
}

const NO_ENTRIES: OutboxEntry[] = [];
const SIGNED_OUT = signedOut();
const never = () => () => undefined;

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
