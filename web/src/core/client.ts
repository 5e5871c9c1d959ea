/**
 * What a page holds for one signed-in user: the outbox, the conversations that are open, and the
 * couriers that deliver. Delivery goes on whichever conversation is looked at.
 */

import type { SupabaseClient } from "@supabase/supabase-js";
import { QueryClient } from "@tanstack/react-query";
import { v4 as newId } from "uuid"; // the browser's own is missing on plain HTTP
import { Conversation } from "./conversation";
import { deliver } from "./courier";
import { Endpoints } from "./endpoints";
import { GONE } from "./errors";
import { Outbox } from "./outbox";
import { newestSeq } from "./state";
import type { OutboxEntry, SendBody } from "./types";
import { wait } from "./waiting";

/** What a conversation is called before the server has given it an id. */
const DRAFT_THREAD = "new:";
const BREATH = 5_000; // milliseconds before a courier that broke down starts anew

export function isDraftThread(thread: string): boolean {
  return thread.startsWith(DRAFT_THREAD);
}

/** Whether an entry is shown in a thread, which is the conversation `id` or a new one. */
export function belongs(entry: OutboxEntry, thread: string, id: string | null): boolean {
  if (entry.thread === thread || (id !== null && entry.conversationId === id)) return true;
  // What could not be sent has no other place to be seen where it has no conversation, or none now.
  const isNowhere = isDraftThread(entry.thread) && !entry.conversationId;
  return id === null && entry.error !== undefined && (isNowhere || isOrphan(entry));
}

/** Whether it was refused because its conversation was deleted. */
function isOrphan({ state, error }: OutboxEntry): boolean {
  return state === "failed" && error !== undefined && GONE.has(error.code);
}

/** What makes an orphan the first message of a new conversation. */
function anew({ body }: OutboxEntry): Partial<OutboxEntry> {
  return { conversationId: undefined, attempts: 0, body: { ...body, conversationId: undefined } };
}

export class ChatClient {
  readonly endpoints: Endpoints;
  readonly outbox: Outbox;
  readonly stopped = new AbortController();
  private readonly open = new Map<string, { conversation: Conversation; users: number }>();
  private readonly couriers = new Map<string, Promise<void>>();
  private readonly settled = new Map<string, string>();
  private readonly listeners = new Set<() => void>();

  constructor(
    readonly supabase: SupabaseClient,
    readonly userId: string,
    readonly queries: QueryClient = new QueryClient(),
    /** The project's address, for files that are downloaded. */
    readonly url: string = "",
  ) {
    this.endpoints = new Endpoints(supabase);
    this.outbox = new Outbox(userId);
    this.outbox.onChange(() => this.dispatch());
    void this.outbox.read();
  }

  /** Whether this user is the one signed in: another tab may have changed that a moment ago. */
  async isSignedIn(): Promise<boolean> {
    const { data } = await this.supabase.auth.getSession();
    return data.session?.user.id === this.userId;
  }

  /** Write a message down and send it; returns its entry once it is safe in the browser. */
  async send(thread: string, body: SendBody): Promise<OutboxEntry> {
    const { conversationId } = body;
    return this.outbox.add({
      key: newId(),
      thread,
      body,
      conversationId,
      state: "queued",
      attempts: 0,
    });
  }

  /** Send an entry that failed once more, under the same key; in a thread of its own or this one. */
  retry(key: string, thread?: string): Promise<void> {
    const entry = this.outbox.get(key);
    return this.outbox.change(key, {
      state: "queued",
      error: undefined,
      nextAt: undefined,
      ...(thread && { thread }),
      ...(thread && entry && isOrphan(entry) && anew(entry)),
    });
  }

  newThread(): string {
    return DRAFT_THREAD + newId();
  }

  /** The thread to write to a conversation in: behind what is still on its way there. */
  threadOf(conversationId: string): string {
    const ahead = this.outbox.entries.find((entry) => entry.conversationId === conversationId);
    return ahead?.thread ?? conversationId;
  }

  /** The conversation that a thread turned out to be, once the server has said so. */
  conversationOf(thread: string): string | null {
    return isDraftThread(thread) ? (this.settled.get(thread) ?? null) : thread;
  }

  onThreadSettled(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Hear which conversation a new one's first message began. */
  async settleThread(thread: string, conversationId: string): Promise<void> {
    if (this.conversationOf(thread)) return;
    this.settled.set(thread, conversationId);
    await this.outbox.settleThread(thread, conversationId);
    void this.queries.invalidateQueries({ queryKey: ["conversations"] });
    for (const listener of this.listeners) listener();
  }

  /** Open a conversation, or join those who have it open; give it back with `release`. */
  acquire(id: string): Conversation {
    const known = this.open.get(id);
    if (known) {
      known.users += 1;
      return known.conversation;
    }
    const conversation = new Conversation(id, this.supabase, this.endpoints, this.queries);
    this.open.set(id, { conversation, users: 1 });
    conversation.open();
    return conversation;
  }

  /** The newest message known here; undefined where the conversation isn't open. */
  newestSeq(id: string | undefined): number | undefined {
    if (id === undefined) return 0;
    const snapshot = this.open.get(id)?.conversation.getSnapshot();
    return snapshot?.isLoaded ? newestSeq(snapshot) : undefined;
  }

  release(id: string): void {
    const known = this.open.get(id);
    if (!known) return;
    known.users -= 1;
    if (known.users > 0) return;
    known.conversation.close();
    this.open.delete(id);
  }

  close(): void {
    this.stopped.abort();
    for (const { conversation } of this.open.values()) conversation.close();
    this.open.clear();
    this.outbox.close();
  }

  /** Let each thread that has something to send have one courier. */
  private dispatch(): void {
    for (const entry of this.outbox.entries) {
      if (entry.state === "failed" || this.couriers.has(entry.thread)) continue;
      const thread = entry.thread;
      const courier = deliver(this, thread)
        .catch(() => wait(BREATH, this.stopped.signal)) // the browser's own store has failed
        .finally(() => {
          this.couriers.delete(thread);
          if (!this.stopped.signal.aborted && this.nextOf(thread)) this.dispatch();
        });
      this.couriers.set(thread, courier);
    }
  }

  nextOf(thread: string): OutboxEntry | undefined {
    return this.outbox.entries.find((entry) => entry.thread === thread && entry.state !== "failed");
  }
}
