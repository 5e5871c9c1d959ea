/**
 * Delivers a thread's messages, one after the other: each is sent under its key until the server
 * has answered it, however often the network breaks in between.
 */

import type { ChatClient } from "./client";
import type { Conversation } from "./conversation";
import { type ChatError, chatErrorFrom, GONE } from "./errors";
import type { MessageRow, OutboxEntry } from "./types";
import { pauseAfter, untilOnline, wait } from "./waiting";

const REST = 60_000; // milliseconds in which a page hears that somebody else has signed in

/** Deliver what waits in a thread. One tab of the browser does it at a time. */
export async function deliver(client: ChatClient, thread: string): Promise<void> {
  await locked(`outbox ${client.userId} ${thread}`, client.stopped.signal, async () => {
    await client.outbox.read(); // another tab may have delivered some of it
    while (!client.stopped.signal.aborted) {
      // What was written while a new conversation got its id doesn't have that id yet.
      const settled = client.conversationOf(thread);
      if (settled) await client.outbox.settleThread(thread, settled);
      const entry = client.nextOf(thread);
      if (!entry) return;
      await deliverOne(client, entry);
    }
  });
}

async function locked(name: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  if (!globalThis.navigator?.locks) return work();
  await navigator.locks.request(name, { signal }, work).catch((error) => {
    if (!signal.aborted) throw error;
  });
}

async function deliverOne(client: ChatClient, entry: OutboxEntry): Promise<void> {
  const { signal } = client.stopped;
  for (let failures = 0; !signal.aborted;) {
    await untilOnline(signal);
    const now = client.outbox.get(entry.key);
    if (!now || now.state === "failed") return;
    const state = now.state === "saved" ? "saved" : "sending";
    const first = now.attempts === 0 && { after: client.newestSeq(now.conversationId) };
    const attempts = now.attempts + 1;
    await client.outbox.change(entry.key, { state, attempts, nextAt: undefined, ...first });
    const failure = await attempt(client, now);
    if (signal.aborted) return;
    if (!failure) {
      void client.queries.invalidateQueries({ queryKey: ["conversations"] });
      return client.outbox.remove(entry.key);
    }
    if (GONE.has(failure.code) && client.outbox.get(entry.key)?.messageId) {
      return client.outbox.remove(entry.key); // stored, and deleted since
    }
    if (failure.code === "forbidden" && !(await client.isSignedIn())) {
      await client.outbox.change(entry.key, { state: state === "saved" ? state : "queued" });
      return wait(REST, signal); // kept until its user is back
    }
    if (!failure.isPassing) {
      return client.outbox.change(entry.key, { state: "failed", error: failure.body });
    }
    failures = failure.code === "turn_in_progress" ? 0 : failures + 1;
    const pause = pauseAfter(failures, failure.retryAfter);
    const nextAt = failure.isLimit ? Date.now() + pause : undefined;
    await client.outbox.change(entry.key, { error: failure.body, nextAt });
    await client.outbox.whileThere(entry.key, signal, (there) => wait(pause, there));
  }
}

/** Send once and read the stream to its end; return what went wrong, if anything did. */
async function attempt(client: ChatClient, entry: OutboxEntry): Promise<ChatError | null> {
  let conversation: Conversation | null = null;
  let turnId = "";
  try {
    // Sent again, it would begin another conversation where the one that it began was deleted.
    const { conversationId: begun, body, messageId } = entry;
    if (begun && messageId && !body.conversationId)
      await client.endpoints.load(begun, { limit: 1 });
    // The token is read from the browser at each call, and may be another user's by then.
    const mine = { ...body, userId: client.userId };
    for await (const event of client.endpoints.send(mine, entry.key, client.stopped.signal)) {
      if (event.name === "accepted") {
        turnId = event.data.turnId;
        conversation ??= client.acquire(event.data.conversationId);
      }
      conversation?.take(event);
      if (event.name === "accepted") await accepted(client, entry, event.data);
    }
    return null;
  } catch (error) {
    return chatErrorFrom(error);
  } finally {
    conversation?.streamEnded(turnId);
    if (conversation) client.release(conversation.id);
  }
}

async function accepted(
  client: ChatClient,
  entry: OutboxEntry,
  { conversationId, userMessage }: { conversationId: string; userMessage: MessageRow },
): Promise<void> {
  const saved = { state: "saved", conversationId, messageId: userMessage.id } as const;
  await client.outbox.change(entry.key, saved);
  await client.settleThread(entry.thread, conversationId);
}
