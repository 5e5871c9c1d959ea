// promise outbox: red on refusals passed on; an entry read and written in two transactions
import "fake-indexeddb/auto";
import { afterEach, expect, test, vi } from "vitest";
import { Outbox } from "../src/core/outbox";

let users = 0;

afterEach(() => vi.restoreAllMocks());

function userId(): string {
  users += 1;
  return `user ${users}`;
}

async function filled(user: string, ...texts: string[]): Promise<Outbox> {
  const outbox = new Outbox(user);
  for (const text of texts) {
    await outbox.add({
      key: `key of ${text}`,
      thread: "new:1",
      body: { request: text },
      state: "queued",
      attempts: 0,
    });
  }
  return outbox;
}

const texts = (outbox: Outbox) => outbox.entries.map((entry) => entry.body.request);

test("what was written down is there after a reload, in the order it was written", async () => {
  const user = userId();
  (await filled(user, "one", "two", "three")).close();
  const again = new Outbox(user);
  await again.read();
  expect(texts(again)).toEqual(["one", "two", "three"]);
});

test("one user's messages are not another's", async () => {
  await filled(userId(), "mine");
  const other = new Outbox(userId());
  await other.read();
  expect(other.entries).toEqual([]);
});

test("an entry that is gone stays gone, whoever still wants to change it", async () => {
  const outbox = await filled(userId(), "one", "two");
  await outbox.remove("key of one");
  await outbox.change("key of one", { state: "saved" });
  await outbox.change("key of two", { state: "sending", attempts: 1 });
  expect(outbox.entries).toMatchObject([{ key: "key of two", state: "sending", attempts: 1 }]);
});

test("what waits behind a new conversation's first message goes to that conversation", async () => {
  const outbox = await filled(userId(), "first", "second");
  await outbox.change("key of first", { conversationId: "c", messageId: "m", state: "saved" });
  await outbox.settleThread("new:1", "c");
  const [first, second] = outbox.entries;
  expect(first?.body).toEqual({ request: "first" }); // the same request, for the same key
  expect(second?.body).toEqual({ request: "second", conversationId: "c" });
});

test("another tab is notified of a change", async () => {
  const user = userId();
  const here = new Outbox(user);
  const there = await filled(user);
  const notified = new Promise<void>((resolve) => here.changes.add(resolve));
  await there.add({ key: "k", thread: "c", body: { request: "Hi" }, state: "queued", attempts: 0 });
  await notified;
  expect(texts(here)).toEqual(["Hi"]);
});

test("an entry that another tab removes while it is changed stays gone", async () => {
  const outbox = await filled(userId(), "one");
  await Promise.all([
    outbox.change("key of one", { state: "queued" }),
    outbox.remove("key of one"),
  ]);
  await outbox.read();
  expect(outbox.entries).toEqual([]);
});

test("a browser that keeps nothing holds what is written as long as the page is open", async () => {
  vi.spyOn(indexedDB, "open").mockImplementation(() => {
    throw new DOMException("Not in a private window.", "SecurityError");
  });
  const outbox = await filled(userId(), "one", "two");
  await outbox.change("key of one", { state: "sending" });
  await outbox.remove("key of two");
  expect(outbox.entries).toMatchObject([{ key: "key of one", state: "sending" }]);
});

/** Let the browser lose its connections: each transaction on one that is open fails. */
function loseConnections() {
  const lost = new WeakSet<IDBDatabase>();
  const begin = IDBDatabase.prototype.transaction;
  let isLosing = true;
  vi.spyOn(IDBDatabase.prototype, "transaction").mockImplementation(function (
    this: IDBDatabase,
    ...given
  ) {
    if (isLosing) lost.add(this);
    if (lost.has(this)) throw new DOMException("Connection lost.", "InvalidStateError");
    return begin.apply(this, given);
  });
  return { end: () => (isLosing = false) };
}

test("what can't be read for a moment stays, and is read over another connection", async () => {
  const user = userId();
  const outbox = await filled(user, "one", "two");
  const losing = loseConnections();
  await outbox.read();
  expect(texts(outbox)).toEqual(["one", "two"]);
  await outbox.change("key of one", { state: "failed" });
  await outbox.remove("key of two");
  expect(outbox.entries).toMatchObject([{ key: "key of one", state: "failed" }]);
  losing.end();
  const tab = new Outbox(user);
  await tab.read();
  await tab.add({ key: "k", thread: "c", body: { request: "Hi" }, state: "queued", attempts: 0 });
  await vi.waitFor(() => expect(texts(outbox)).toEqual(["one", "Hi"]), 3_000);
});

test("what could not be read when the page was opened is there a moment later", async () => {
  const user = userId();
  (await filled(user, "one")).close();
  const losing = loseConnections();
  const outbox = new Outbox(user);
  await outbox.read();
  losing.end();
  await vi.waitFor(() => expect(texts(outbox)).toEqual(["one"]), 3_000);
});

test("what is written while nothing can be read is as it was written", async () => {
  const outbox = await filled(userId(), "one", "two");
  vi.spyOn(IDBObjectStore.prototype, "getAll").mockImplementation(() => {
    throw new DOMException("Not now.", "UnknownError");
  });
  await outbox.change("key of one", { state: "failed" });
  await outbox.remove("key of two");
  expect(outbox.entries).toMatchObject([{ key: "key of one", state: "failed" }]);
});

test("a disk that is full keeps nothing from being sent", async () => {
  const outbox = await filled(userId(), "one", "two");
  vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("The disk is full.", "QuotaExceededError");
  });
  await outbox.change("key of one", { state: "sending" });
  await outbox.remove("key of two");
  expect(outbox.entries).toMatchObject([{ key: "key of one", state: "sending" }]);
});
