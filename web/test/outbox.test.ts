import "fake-indexeddb/auto";
import { expect, test, vi } from "vitest";
import { Outbox } from "../src/core/outbox";

let users = 0;

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

test("another tab hears of a change", async () => {
  const user = userId();
  const here = new Outbox(user);
  const there = await filled(user);
  const heard = new Promise<void>((resolve) => here.onChange(resolve));
  await there.add({ key: "k", thread: "c", body: { request: "Hi" }, state: "queued", attempts: 0 });
  await heard;
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
  const open = vi.spyOn(indexedDB, "open").mockImplementation(() => {
    throw new DOMException("Not in a private window.", "SecurityError");
  });
  const outbox = await filled(userId(), "one", "two");
  await outbox.change("key of one", { state: "sending" });
  await outbox.remove("key of two");
  expect(outbox.entries).toMatchObject([{ key: "key of one", state: "sending" }]);
  open.mockRestore();
});

test("a disk that is full keeps nothing from being sent", async () => {
  const outbox = await filled(userId(), "one", "two");
  const put = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("The disk is full.", "QuotaExceededError");
  });
  await outbox.change("key of one", { state: "sending" });
  await outbox.remove("key of two");
  expect(outbox.entries).toMatchObject([{ key: "key of one", state: "sending" }]);
  put.mockRestore();
});
