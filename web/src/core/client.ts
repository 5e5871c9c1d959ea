/**
 * What a page holds for one signed-in user: the outbox and its delivery, and the conversations that
 * are open. Delivery goes on whichever conversation is looked at.
 */

import type { SupabaseClient } from "@supabase/supabase-js";
import { v4 as newId } from "uuid"; // the browser's own is missing on plain HTTP
import { Delivery } from "./delivery.js";
import { Endpoints } from "./endpoints.js";
import { Listeners } from "./listeners.js";
import { OpenConversations } from "./openConversations.js";
import { Outbox } from "./outbox.js";
import { isOrphan, Threads } from "./threads.js";
import { UnsentTexts } from "./unsent.js";
import type { ConversationChange, OutboxEntry, SendBody } from "./types.js";

export class ChatClient {
  readonly endpoints: Endpoints;
  readonly outbox: Outbox;
  readonly threads: Threads;
  readonly conversations: OpenConversations;
  readonly unsent: UnsentTexts;
  /** Notified when the list of conversations may have changed. */
  readonly listChanges = new Listeners();
  private readonly stopped = new AbortController();
  readonly signal = this.stopped.signal;

  constructor(
    readonly supabase: SupabaseClient,
    readonly userId: string,
  ) {
    this.endpoints = new Endpoints(supabase);
    this.outbox = new Outbox(userId);
    this.unsent = new UnsentTexts(userId);
    this.threads = new Threads(this.outbox);
    this.threads.changes.add(this.listChanges.notify);
    this.conversations = new OpenConversations(supabase, this.endpoints);
    const delivery = new Delivery(this);
    this.outbox.changes.add(() => delivery.dispatch());
    void this.outbox.read();
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
      ...(thread && entry && isOrphan(entry) && withoutConversation(entry)),
    });
  }

  /** Rename a conversation, put it into the archive or take it out of there. */
  async update(id: string, change: ConversationChange): Promise<void> {
    try {
      const row = await this.endpoints.update(id, change);
      this.conversations.get(id)?.change(row);
    } finally {
      this.listChanges.notify();
    }
  }

  async remove(id: string): Promise<void> {
    await this.endpoints.remove(id).finally(this.listChanges.notify);
  }

  close(): void {
    this.stopped.abort();
    this.conversations.close();
    this.outbox.close();
  }
}

/** What makes an orphan the first message of a new conversation. */
function withoutConversation({ body }: OutboxEntry): Partial<OutboxEntry> {
  return { conversationId: undefined, attempts: 0, body: { ...body, conversationId: undefined } };
}
