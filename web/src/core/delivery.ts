/**
 * Delivers what waits in the outbox: a thread's messages one after the other, each sent under its
 * key until the server has answered it, however often the network breaks in between.
 */

import type { SupabaseClient } from "@supabase/supabase-js";
import type { Conversation } from "./conversation.js";
import type { Endpoints } from "./endpoints.js";
import { type ChatError, chatErrorFrom, GONE, SIGNED_OUT } from "./errors.js";
import type { Listeners } from "./listeners.js";
import type { OpenConversations } from "./openConversations.js";
import type { Outbox } from "./outbox.js";
import type { Threads } from "./threads.js";
import type { MessageRow, OutboxEntry } from "./types.js";
import { pauseAfter, untilOnline, wait } from "./waiting.js";

const PAUSE_AFTER_A_BREAKDOWN = 5_000; // milliseconds
const NOT_MINE = new Set(["forbidden", SIGNED_OUT]);
const PAUSE_WHILE_ANOTHER_IS_SIGNED_IN = 60_000; // in which the page notices and closes

interface DeliveryParts {
  supabase: SupabaseClient;
  userId: string;
  endpoints: Endpoints;
  outbox: Outbox;
  threads: Threads;
  conversations: OpenConversations;
  listChanges: Listeners;
  signal: AbortSignal;
}

export class Delivery {
  private readonly running = new Set<string>(); // threads

  constructor(private readonly parts: DeliveryParts) {}

  /** Let each thread that has something to send be delivered, by one loop a thread. */
  dispatch(): void {
    for (const { thread, state } of this.parts.outbox.entries) {
      if (state === "failed" || this.running.has(thread)) continue;
      this.running.add(thread);
      void this.run(thread);
    }
  }

  private async run(thread: string): Promise<void> {
    // The browser's own store or its locks may have failed.
    await this.deliver(thread).catch(() => wait(PAUSE_AFTER_A_BREAKDOWN, this.parts.signal));
    this.running.delete(thread);
    if (!this.parts.signal.aborted && this.nextOf(thread)) this.dispatch();
  }

  /** Deliver what waits in a thread. One tab of the browser does it at a time. */
  private async deliver(thread: string): Promise<void> {
    const { userId, outbox, threads, signal } = this.parts;
    await locked(`outbox ${userId} ${thread}`, signal, async () => {
      await outbox.read(); // another tab may have delivered some of it
      while (!signal.aborted) {
        // What was written while a new conversation got its id doesn't have that id yet.
        const conversationId = threads.conversationOf(thread);
        if (conversationId) await outbox.settleThread(thread, conversationId);
        const entry = this.nextOf(thread);
        if (!entry) return;
        await this.deliverOne(entry.key);
      }
    });
  }

  private nextOf(thread: string): OutboxEntry | undefined {
    const { entries } = this.parts.outbox;
    return entries.find((entry) => entry.thread === thread && entry.state !== "failed");
  }

  private async deliverOne(key: string): Promise<void> {
    const { outbox, conversations, signal } = this.parts;
    for (let failures = 0; !signal.aborted;) {
      await untilOnline(signal);
      const entry = outbox.get(key);
      if (!entry || entry.state === "failed") return;
      const state = entry.state === "saved" ? "saved" : "sending";
      const first = entry.attempts === 0 && {
        after: conversations.newestSeq(entry.conversationId),
      };
      const attempts = entry.attempts + 1;
      await outbox.change(key, { state, attempts, nextAt: undefined, ...first });
      const failure = await this.attempt(entry);
      if (signal.aborted) return;
      if (!failure) return this.delivered(key);
      if (await this.isOver(key, failure)) return;
      failures = failure.code === "turn_in_progress" ? 0 : failures + 1;
      const pause = pauseAfter(failures, failure.retryAfter);
      const nextAt = failure.isLimit ? Date.now() + pause : undefined;
      await outbox.change(key, { error: failure.body, nextAt });
      await outbox.whileThere(key, signal, (there) => wait(pause, there));
    }
  }

  private async delivered(key: string): Promise<void> {
    this.parts.listChanges.notify();
    await this.parts.outbox.remove(key);
  }

  /** Whether a failure ends the attempts for now; its entry is changed accordingly. */
  private async isOver(key: string, failure: ChatError): Promise<boolean> {
    const { outbox } = this.parts;
    const entry = outbox.get(key);
    if (GONE.has(failure.code) && entry?.messageId) {
      await outbox.remove(key); // stored, and deleted since
    } else if (NOT_MINE.has(failure.code) && !(await this.isSignedIn())) {
      // Kept until its user is back.
      await outbox.change(key, { state: entry?.state === "saved" ? "saved" : "queued" });
      await wait(PAUSE_WHILE_ANOTHER_IS_SIGNED_IN, this.parts.signal);
    } else if (failure.isPassing) {
      return false;
    } else {
      await outbox.change(key, { state: "failed", error: failure.body });
    }
    return true;
  }

  /** Whether this user is the one signed in: another tab may have changed that a moment ago. */
  private async isSignedIn(): Promise<boolean> {
    const { data } = await this.parts.supabase.auth.getSession();
    return data.session?.user.id === this.parts.userId;
  }

  /** Send once and read the stream to its end; return what went wrong, if anything did. */
  private async attempt(entry: OutboxEntry): Promise<ChatError | null> {
    const { userId, endpoints, conversations, signal } = this.parts;
    let conversation: Conversation | null = null;
    let turnId = "";
    try {
      // Sent again, it would begin another conversation where the one that it began was deleted.
      const { conversationId: begun, body, messageId } = entry;
      if (begun && messageId && !body.conversationId) await endpoints.load(begun, { limit: 1 });
      // The token is read from the browser at each call, and may be another user's by then.
      for await (const event of endpoints.send({ ...body, userId }, entry.key, signal)) {
        if (event.name === "accepted") {
          turnId = event.data.turnId;
          conversation ??= conversations.acquire(event.data.conversationId);
        }
        conversation?.take(event);
        if (event.name === "accepted" && (body.edits || body.regenerates)) conversation?.forked();
        if (event.name === "accepted") await this.accepted(entry, event.data);
      }
      return null;
    } catch (error) {
      return chatErrorFrom(error);
    } finally {
      conversation?.streamEnded(turnId);
      if (conversation) conversations.release(conversation.id);
    }
  }

  private async accepted(
    { key, thread }: OutboxEntry,
    { conversationId, userMessage }: { conversationId: string; userMessage: MessageRow },
  ): Promise<void> {
    const saved = { state: "saved", conversationId, messageId: userMessage.id } as const;
    await this.parts.outbox.change(key, saved);
    await this.parts.threads.settle(thread, conversationId);
  }
}

async function locked(name: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  if (!globalThis.navigator?.locks) return work();
  await navigator.locks.request(name, { signal }, work).catch((error) => {
    if (!signal.aborted) throw error;
  });
}
