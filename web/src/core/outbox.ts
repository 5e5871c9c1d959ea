/**
 * Messages on their way, written down in the browser before they are sent.
 *
 * Survives a reload and a crash, and is shared by all tabs of one user. Knows nothing of sending.
 * Where the browser keeps nothing (private windows, a full disk), it lasts as long as the page.
 */

import { createStore, del, promisifyRequest, set, type UseStore, values } from "idb-keyval";
import { Listeners } from "./listeners.js";
import type { OutboxEntry, SendBody } from "./types.js";
import { pauseAfter } from "./waiting.js";

const stores = new Map<string, UseStore>();

function storeOf(userId: string): UseStore {
  const known = stores.get(userId);
  if (known) return known;
  const store = createStore(`outbox ${userId}`, "entries");
  const made: UseStore = async (mode, work) => store(mode, work); // some refusals are thrown
  stores.set(userId, made);
  return made;
}

export class Outbox<Body extends object = SendBody> {
  readonly changes = new Listeners();
  /** What was read last, and what was written since. */
  private current: OutboxEntry<Body>[] = [];
  private isClosed = false;
  private store: UseStore;
  private failedReads = 0;
  private nextRead: ReturnType<typeof setTimeout> | undefined;
  /** What the browser would not keep, and the keys of what it would not let go of. */
  private readonly unkept = new Map<string, OutboxEntry<Body>>();
  private readonly removed = new Set<string>();
  private readonly tabs: BroadcastChannel;

  constructor(private readonly userId: string) {
    this.store = storeOf(userId);
    this.tabs = new BroadcastChannel(`outbox ${userId}`);
    this.tabs.onmessage = () => void this.read();
  }

  /** The entries of this browser, oldest first. */
  get entries(): OutboxEntry<Body>[] {
    return this.current;
  }

  get(key: string): OutboxEntry<Body> | undefined {
    return this.current.find((entry) => entry.key === key);
  }

  /** Read what the browser has; where it can't be read, what is known here stays. */
  async read(): Promise<void> {
    const stored = await values<OutboxEntry<Body>>(this.store).catch(() => null);
    if (stored) this.take(stored);
    else this.readLater();
    this.changes.notify();
  }

  async add(entry: Omit<OutboxEntry<Body>, "order" | "createdAt">): Promise<OutboxEntry<Body>> {
    const now = Date.now();
    const order = Math.max(now, (this.current.at(-1)?.order ?? 0) + 1);
    const added = { ...entry, order, createdAt: new Date(now).toISOString() };
    await set(entry.key, added, this.store).catch(() => this.unkept.set(entry.key, added));
    this.current = [...this.current.filter(({ key }) => key !== entry.key), added];
    await this.changed();
    return added;
  }

  /** Change an entry that is still there. */
  async change(key: string, change: Partial<OutboxEntry<Body>>): Promise<void> {
    await this.put(key, change).catch(() => {
      const entry = this.get(key);
      if (entry) this.unkept.set(key, { ...entry, ...change });
    });
    this.current = this.current.map((each) => (each.key === key ? { ...each, ...change } : each));
    await this.changed();
  }

  /** Do something that ends early, by its signal, where the entry is taken out meanwhile. */
  async whileThere(
    key: string,
    signal: AbortSignal,
    work: (there: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const gone = new AbortController();
    const unsubscribe = this.changes.add(() => {
      if (!this.get(key)) gone.abort();
    });
    await work(AbortSignal.any([signal, gone.signal])).finally(unsubscribe);
  }

  async remove(key: string): Promise<void> {
    this.unkept.delete(key);
    await del(key, this.store).catch(() => this.removed.add(key));
    this.current = this.current.filter((entry) => entry.key !== key);
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
    clearTimeout(this.nextRead);
    this.changes.clear();
    this.tabs.close();
  }

  private take(stored: OutboxEntry<Body>[]): void {
    const entries = new Map(stored.map((entry) => [entry.key, entry]));
    for (const entry of this.unkept.values()) entries.set(entry.key, entry);
    for (const key of this.removed) entries.delete(key);
    this.current = [...entries.values()].sort((a, b) => a.order - b.order);
    this.failedReads = 0;
  }

  /** Safari loses its connections without a word: try another one in a moment. */
  private readLater(): void {
    stores.delete(this.userId);
    this.store = storeOf(this.userId);
    this.failedReads += 1;
    clearTimeout(this.nextRead);
    if (this.isClosed) return;
    this.nextRead = setTimeout(() => void this.read(), pauseAfter(this.failedReads));
  }

  /** Read and write in one transaction: what another tab removes in between stays removed. */
  private async put(key: string, change: Partial<OutboxEntry<Body>>): Promise<void> {
    const unkept = this.unkept.get(key);
    if (unkept) {
      this.unkept.set(key, { ...unkept, ...change });
      return;
    }
    await this.store("readwrite", async (entries) => {
      const entry = await promisifyRequest<OutboxEntry<Body> | undefined>(entries.get(key));
      if (entry) entries.put({ ...entry, ...change }, key);
      return promisifyRequest(entries.transaction);
    });
  }

  private async changed(): Promise<void> {
    await this.read();
    if (!this.isClosed) this.tabs.postMessage("changed");
  }
}
