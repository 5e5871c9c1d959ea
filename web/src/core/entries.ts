/** What is on its way, beside the messages that are shown. */

import type { ChatState } from "./state.js";
import type { MessageRow, OutboxEntry } from "./types.js";

/** Entries that the window doesn't show as stored messages yet. */
export function unseen(entries: OutboxEntry[], state: ChatState): OutboxEntry[] {
  const stored = new Set(state.messages.map((message) => message.id));
  return entries.filter((entry) => {
    if (entry.messageId) return !stored.has(entry.messageId);
    return entry.attempts === 0 || !looksStored(entry, state.messages);
  });
}

/**
 * Messages without those that are on their way to be replaced: what an edit or a reply that is made
 * once more will stand beside, and what follows it.
 */
export function withoutReplaced(messages: MessageRow[], entries: OutboxEntry[]): MessageRow[] {
  const places = entries
    .filter(({ state }) => state !== "failed")
    .map(({ body }) => {
      const place = messages.findIndex(({ id }) => id === (body.edits ?? body.regenerates));
      const isAsked = body.regenerates && messages[place]?.role === "user";
      return isAsked ? place + 1 : place;
    })
    .filter((place) => place >= 0);
  return places.length ? messages.slice(0, Math.min(...places)) : messages;
}

/** Whether a message was sent before this page was reloaded, and stored unnoticed here. */
function looksStored(entry: OutboxEntry, messages: MessageRow[]): boolean {
  const last = messages.findLast((message) => message.role === "user");
  if (!last || entry.after === undefined || entry.body.regenerates) return false;
  return last.seq > entry.after && last.content === entry.body.request;
}
