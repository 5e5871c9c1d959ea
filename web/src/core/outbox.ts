/**
 * Messages on their way, written down in the browser before they are sent.
 *
 * Survives a reload and a crash, and is shared by all tabs of one user. Knows nothing of sending.
 */

import { createStore, del, get, set, type UseStore, values } from "idb-keyval";
import type { OutboxEntry } from "./types";

const stores = new Map<string, UseStore>();

function storeOf(userId: string): UseStore {
  const known = stores.get(userId);
  if (known) return known;
  const made = createStore(`outbox ${userId}`, "entries");
  stores.set(userId, made);
  return made;
}

export class Outbox {
  private current: OutboxEntry[] = [];
  private isClosed = false;
  private readonly listeners = new Set<() => void>();
  private readonly store: UseStore;
  private readonly tabs: BroadcastChannel;

  constructor(userId: string) {
    this.store = storeOf(userId);
    this.tabs = new BroadcastChannel(`outbox ${userId}`);
    this.tabs.onmessage = () => void this.read();
  }

  /** The entries of this browser, oldest first. */
  get entries(): OutboxEntry[] {
    return this.current;
  }

  get(key: string): OutboxEntry | undefined {
    return this.current.find((entry) => entry.key === key);
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async read(): Promise<void> {
    const stored = await values<OutboxEntry>(this.store);
    this.current = stored.sort((a, b) => a.order - b.order);
    for (const listener of this.listeners) listener();
  }

  async add(entry: Omit<OutboxEntry, "order" | "createdAt">): Promise<OutboxEntry> {
    const now = Date.now();
    const order = Math.max(now, (this.current.at(-1)?.order ?? 0) + 1);
    const added = { ...entry, order, createdAt: new Date(now).toISOString() };
    await set(entry.key, added, this.store);
    await this.changed();
    return added;
  }

  /** Change an entry that is still there. */
  async change(key: string, change: Partial<OutboxEntry>): Promise<void> {
    const entry = await get<OutboxEntry>(key, this.store);
    if (!entry) return;
    await set(key, { ...entry, ...change }, this.store);
    await this.changed();
  }

  async remove(key: string): Promise<void> {
    await del(key, this.store);
    await this.changed();
  }

  /** Let what waits behind the first message of a new conversation go to that conversation. */
  async settleThread(thread: string, conversationId: string): Promise<void> {
    const waiting = this.current.filter((each) => each.thread === thread && !each.conversationId);
    for (const { key, body } of waiting) {
      await this.change(key, { conversationId, body: { ...body, conversationId } });
    }
  }

  close(): void {
    this.isClosed = true;
    this.listeners.clear();
    this.tabs.close();
  }

  private async changed(): Promise<void> {
    await this.read();
    if (!this.isClosed) this.tabs.postMessage("changed");
  }
}
