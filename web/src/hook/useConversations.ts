/** The list of a user's conversations, as React state that keeps up with what happens. */

import { useEffect } from "react";
import type { ChatClient } from "../core/client.js";
import type { ConversationRow } from "../core/types.js";
import { usePages } from "./usePages.js";

const POLL = 60_000; // milliseconds after which the list is read again in any case
const RETURNS = ["online", "focus"]; // of the network, and of the reader

export function useConversations(client: ChatClient, archived: boolean) {
  const list = usePages(String(archived), (cursor) =>
    client.endpoints.list({ archived, limit: 50, cursor }),
  );
  useEffect(() => {
    const poll = setInterval(list.reload, POLL);
    const unsubscribe = client.listChanges.add(list.reload);
    for (const event of RETURNS) addEventListener(event, list.reload);
    return () => {
      clearInterval(poll);
      unsubscribe();
      for (const event of RETURNS) removeEventListener(event, list.reload);
    };
  }, [client, archived]);
  return { ...list, rows: unique(list.pages.flatMap((page) => page.conversations)) };
}

/** A conversation that moved up while pages were read may be on two of them. */
function unique(rows: ConversationRow[]): ConversationRow[] {
  return [...new Map(rows.map((row) => [row.id, row])).values()];
}
