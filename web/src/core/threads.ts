/**
 * Threads: a conversation's own id, or a name made up here for a new one until the server has
 * given it an id.
 */

import { v4 as newId } from "uuid"; // the browser's own is missing on plain HTTP
import { GONE } from "./errors.js";
import { Listeners } from "./listeners.js";
import type { Outbox } from "./outbox.js";
import type { OutboxEntry } from "./types.js";

const NEW = "new:";

export class Threads {
  /** Notified when a new thread has got its conversation. */
  readonly changes = new Listeners();
  private readonly conversations = new Map<string, string>();

  constructor(private readonly outbox: Outbox) {}

  /** The thread to write to a conversation in: behind what is still on its way there. */
  of(conversationId: string): string {
    const ahead = this.outbox.entries.find((entry) => entry.conversationId === conversationId);
    return ahead?.thread ?? conversationId;
  }

  /** The conversation that a thread turned out to be, once the server has said so. */
  conversationOf(thread: string): string | null {
    return isNew(thread) ? (this.conversations.get(thread) ?? null) : thread;
  }

  /** Note which conversation a new thread's first message began. */
  async settle(thread: string, conversationId: string): Promise<void> {
    if (this.conversationOf(thread)) return;
    this.conversations.set(thread, conversationId);
    await this.outbox.settleThread(thread, conversationId);
    this.changes.notify();
  }
}

export function newThread(): string {
  return NEW + newId();
}

/** Whether an entry is shown in a thread, which is the conversation `id` or a new one. */
export function belongs(entry: OutboxEntry, thread: string, id: string | null): boolean {
  if (entry.thread === thread || (id !== null && entry.conversationId === id)) return true;
  // What could not be sent has no other place to be seen where it has no conversation, or none now.
  const isNowhere = isNew(entry.thread) && !entry.conversationId;
  return id === null && entry.error !== undefined && (isNowhere || isOrphan(entry));
}

/** Whether it was refused because its conversation was deleted. */
export function isOrphan({ state, error }: OutboxEntry): boolean {
  return state === "failed" && error !== undefined && GONE.has(error.code);
}

function isNew(thread: string): boolean {
  return thread.startsWith(NEW);
}
