/** A conversation that is open in this tab, as React state. */

import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import type { ChatClient } from "../core/client.js";
import type { Conversation } from "../core/conversation.js";
import { CLOSED, type ConversationSnapshot } from "../core/snapshot.js";

/** Open a conversation for as long as it is shown; null until it is open. */
export function useConversation(client: ChatClient | null, id: string | null): Conversation | null {
  const [open, setOpen] = useState<{ client: ChatClient; conversation: Conversation } | null>(null);
  useEffect(() => {
    if (!client || !id) return setOpen(null);
    setOpen({ client, conversation: client.conversations.acquire(id) });
    return () => client.conversations.release(id);
  }, [client, id]);
  // Until the effect has run, it is the conversation shown before, or another user's view of it.
  return open?.client === client && open.conversation.id === id ? open.conversation : null;
}

export function useSnapshot(open: Conversation | null): ConversationSnapshot {
  const subscribe = useCallback(
    (onChange: () => void) => open?.subscribe(onChange) ?? (() => undefined),
    [open],
  );
  const snapshot = () => open?.getSnapshot() ?? CLOSED;
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}
