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
  store.count = 2; // heard by nobody: the topic is not joined yet
  chat.join();
  store.answer();
  await vi.waitFor(() => expect(store.asked()).toBe(1));
  store.answer();
  await vi.waitFor(() => expect(seqs(chat)).toEqual([1, 2]));
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
