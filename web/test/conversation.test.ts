// promise page in trouble: red on a conversation that is gone polled like any other
import { afterEach, expect, test, vi } from "vitest";
import type { Conversation } from "../src/core/conversation";
import type { LoadPlace } from "../src/core/endpoints";
import { ChatError } from "../src/core/errors";
import type { LoadedConversation } from "../src/core/types";
import { conversationOf } from "./fakes";
import { loaded, row, rows } from "./rows";

const opened: Conversation[] = [];

afterEach(() => {
  for (const conversation of opened.splice(0)) conversation.close();
  vi.useRealTimers();
});

function open(...given: Parameters<typeof conversationOf>) {
  const made = conversationOf(...given);
  opened.push(made.conversation);
  made.conversation.open();
  return made;
}

/** A store of so many messages; each load waits for `answer`. */
function slowStore(count: number) {
  const waiting: (() => void)[] = [];
  const store = {
    count,
    asked: () => waiting.length,
    answer: () => waiting.shift()?.(),
    load: ({ after }: LoadPlace) => {
      const first = (after ?? 0) + 1;
      const answer = loaded(rows(first, store.count), store.count); // as it was when asked
      return new Promise<LoadedConversation>((resolve) => waiting.push(() => resolve(answer)));
    },
  };
  return store;
}

const seqs = ({ conversation }: { conversation: Conversation }) =>
  conversation.getSnapshot().messages.map((message) => message.seq);
const announced = (seq: number) => {
  const { id, role, turn_id } = row(seq);
  return { event: "message", payload: { id, role, seq, turnId: turn_id } } as const;
};
const gone = () =>
  Promise.reject(new ChatError({ code: "conversation_not_found", message: "Gone." }, 404));

test("what is stored between a load and the join is there once both are done", async () => {
  const store = slowStore(1);
  const chat = open(store.load);
  await vi.waitFor(() => expect(store.asked()).toBe(1));
  store.count = 2; // broadcast to nobody: the topic is not joined yet
  chat.join();
  store.answer();
  await vi.waitFor(() => expect(store.asked()).toBe(1));
  store.answer();
  await vi.waitFor(() => expect(seqs(chat)).toEqual([1, 2]));
});

test("older messages are asked for once, also while the newest are still being loaded", async () => {
  const places: LoadPlace[] = [];
  const chat = open(async (place) => {
    places.push(place);
    if (!place.before) return loaded(rows(51, 100), 100);
    return new Promise(() => undefined); // never there
  });
  const { conversation } = chat;
  conversation.subscribe(() => {
    if (conversation.getSnapshot().hasOlder) void conversation.loadOlder();
  });
  await vi.waitFor(() => expect(conversation.getSnapshot().isLoading).toBe(false));
  expect(places.filter(({ before }) => before)).toHaveLength(1);
});

test("that older messages could not be loaded is said until they are", async () => {
  let isGone = true;
  const chat = open(({ before }) =>
    before && isGone ? gone() : Promise.resolve(loaded(before ? rows(1, 50) : rows(51, 100), 100)),
  );
  const { conversation } = chat;
  await vi.waitFor(() => expect(conversation.getSnapshot().isLoaded).toBe(true));
  await conversation.loadOlder();
  chat.join(); // and catches up
  await vi.waitFor(() => expect(conversation.getSnapshot().connection).toBe("live"));
  await conversation.catchUp();
  expect(conversation.getSnapshot().error?.code).toBe("conversation_not_found");
  isGone = false;
  await conversation.loadOlder();
  expect(conversation.getSnapshot().error).toBeNull();
});

test("what is announced while others are being caught up with is loaded too", async () => {
  const store = slowStore(1);
  const chat = open(store.load);
  await vi.waitFor(() => expect(store.asked()).toBe(1));
  store.answer();
  await vi.waitFor(() => expect(seqs(chat)).toEqual([1]));
  store.count = 2;
  chat.say(announced(2));
  await vi.waitFor(() => expect(store.asked()).toBe(1));
  store.count = 3;
  chat.say(announced(3));
  store.answer();
  await vi.waitFor(() => expect(store.asked()).toBe(1));
  store.answer();
  await vi.waitFor(() => expect(seqs(chat)).toEqual([1, 2, 3]));
  expect(store.asked()).toBe(0);
});

test("a conversation that was deleted elsewhere says so, and nothing of it runs", async () => {
  let load = async () => loaded(rows(1, 1), 1);
  const chat = open(() => load());
  await vi.waitFor(() => expect(seqs(chat)).toEqual([1]));
  chat.say({ event: "status", payload: { turnId: "turn 9", status: "thinking" } });
  expect(chat.conversation.getSnapshot().turn).not.toBeNull();
  load = gone;
  chat.join();
  const { getSnapshot } = chat.conversation;
  await vi.waitFor(() => expect(getSnapshot().error?.code).toBe("conversation_not_found"));
  expect(getSnapshot().turn).toBeNull();
});

test("a turn that can't be followed because it is gone doesn't run on", async () => {
  const running = loaded(rows(1, 1), 1, { draft: "Half" });
  const follow = () => ({ [Symbol.asyncIterator]: () => ({ next: gone }) }) as never;
  const chat = open(async () => running, { follow });
  const { getSnapshot } = chat.conversation;
  await vi.waitFor(() => expect(seqs(chat)).toEqual([1]));
  await vi.waitFor(() => expect(getSnapshot().turn).toBeNull());
});

test("once Realtime is lost it is asked every few seconds, from the first minute on", async () => {
  vi.useFakeTimers();
  let loads = 0;
  const chat = open(async () => {
    loads += 1;
    return loaded(rows(1, 1), 1);
  });
  await vi.advanceTimersByTimeAsync(100);
  chat.join();
  await vi.advanceTimersByTimeAsync(20_000);
  const before = loads;
  chat.join("CHANNEL_ERROR");
  await vi.advanceTimersByTimeAsync(15_000);
  expect(loads - before).toBeGreaterThanOrEqual(2);
});

test.each([
  ["from the start", 0],
  ["after a while", 1],
])("a conversation that is gone %s is not asked for again and again", async (_, there) => {
  vi.useFakeTimers();
  let asked = 0;
  const chat = open(() => {
    asked += 1;
    return asked <= there ? Promise.resolve(loaded(rows(1, 1), 1)) : gone();
  });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(chat.conversation.getSnapshot().error?.code).toBe("conversation_not_found");
  expect(asked).toBe(there + 1);
  await chat.conversation.loadNewest(); // the reader asks
  expect(asked).toBe(there + 2);
});

test("a conversation that can't be reached is asked for until it can", async () => {
  vi.useFakeTimers();
  let isDown = true;
  const down = () => Promise.reject(new ChatError({ code: "unavailable", message: "Down." }, 503));
  const chat = open(() => (isDown ? down() : Promise.resolve(loaded(rows(1, 1), 1))));
  await vi.advanceTimersByTimeAsync(30_000);
  expect(chat.conversation.getSnapshot().error?.code).toBe("unavailable");
  isDown = false;
  await vi.advanceTimersByTimeAsync(30_000);
  expect(seqs(chat)).toEqual([1]);
});

test("a turn that writes and whose text doesn't come is followed as a stream", async () => {
  vi.useFakeTimers();
  const follow = vi.fn(() => ({ [Symbol.asyncIterator]: () => ({ next: gone }) }) as never);
  const chat = open(async () => loaded(rows(1, 1)), { follow });
  await vi.advanceTimersByTimeAsync(10);
  chat.join();
  chat.say({ event: "status", payload: { turnId: "t", attempt: 1, status: "generating" } });
  await vi.advanceTimersByTimeAsync(2_900);
  expect(follow).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(200);
  expect(follow).toHaveBeenCalledOnce();
});

test("a turn whose text comes over Realtime is followed there", async () => {
  vi.useFakeTimers();
  const follow = vi.fn();
  const chat = open(async () => loaded(rows(1, 1)), { follow });
  await vi.advanceTimersByTimeAsync(10);
  chat.join();
  const said = { turnId: "t", attempt: 1 };
  chat.say({ event: "status", payload: { ...said, status: "generating" } });
  chat.say({ event: "delta", payload: { ...said, offset: 0, text: "Hello" } });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(follow).not.toHaveBeenCalled();
});
