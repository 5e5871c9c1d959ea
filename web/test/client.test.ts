// promise page in trouble: red on the pause of a limit waited to its end
// promise outbox: red on a 403 taken as final; a message to a deleted conversation sent to it again
import "fake-indexeddb/auto";
import type { SupabaseClient } from "@supabase/supabase-js";
import { afterEach, expect, test, vi } from "vitest";
import { ChatClient } from "../src/core/client";
import { ChatError, errorOfEvent, networkError, signedOut } from "../src/core/errors";
import { belongs, newThread } from "../src/core/threads";
import type { SendBody, StreamEvent } from "../src/core/types";
import { loaded, row } from "./rows";

const clients: ChatClient[] = [];
let users = 0;

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

type Send = (body: SendBody, key: string) => AsyncGenerator<StreamEvent>;

/** A tab of a user, whose messages are sent to a function. */
function tabOf(user: string, send: Send, signedIn = user): ChatClient {
  const channel = { on: () => channel, subscribe: () => channel };
  const supabase = {
    realtime: { setAuth: async () => undefined },
    channel: () => channel,
    removeChannel: async () => "ok",
    auth: { getSession: async () => ({ data: { session: { user: { id: signedIn } } } }) },
  };
  const client = new ChatClient(supabase as unknown as SupabaseClient, user);
  client.endpoints.send = send;
  client.endpoints.load = async () => loaded([]);
  clients.push(client);
  return client;
}

function userId(): string {
  users += 1;
  return `user of tab ${users}`;
}

/** A server that says where a message was stored, and answers when it is let. */
function server() {
  const bodies: SendBody[] = [];
  let answer = () => undefined as void;
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  async function* send(body: SendBody): AsyncGenerator<StreamEvent> {
    bodies.push(body);
    const conversationId = body.conversationId ?? `conversation ${bodies.length}`;
    const turnId = `turn ${bodies.length}`;
    const userMessage = { ...row(bodies.length), conversation_id: conversationId };
    yield {
      name: "accepted",
      data: { turnId, conversationId, attempt: 1, offset: 0, userMessage },
    };
    await answered;
    yield { name: "done", data: { success: true, conversationId, turnId, replayed: false } };
  }
  return { bodies, send, answer: () => answer() };
}

test("what is written while a new conversation gets its id goes to that conversation", async () => {
  const { bodies, send, answer } = server();
  const client = tabOf(userId(), send);
  const thread = newThread();
  await client.send(thread, { request: "One" });
  await vi.waitFor(() => expect(client.threads.conversationOf(thread)).toBe("conversation 1"));
  await client.send(thread, { request: "Two" }); // the page did not know the id yet
  answer();
  await vi.waitFor(() => expect(bodies).toHaveLength(2));
  expect(bodies[1]).toMatchObject({ request: "Two", conversationId: "conversation 1" });
  await vi.waitFor(() => expect(client.outbox.entries).toEqual([]));
});

test.each([
  ["said by the stream", errorOfEvent({ code: "turn_not_found", message: "Turn not found." })],
  ["found once the network is back", networkError()],
])("a conversation deleted during its first reply is not begun again: %s", async (_, error) => {
  const bodies: SendBody[] = [];
  const client = tabOf(userId(), async function* (body) {
    bodies.push(body);
    const data = { turnId: "turn", conversationId: "c", attempt: 1, offset: 0 };
    yield { name: "accepted", data: { ...data, userMessage: row(1) } };
    throw error;
  });
  client.endpoints.load = async () => {
    throw new ChatError({ code: "conversation_not_found", message: "Gone." }, 404);
  };
  await client.send(newThread(), { request: "One" });
  await vi.waitFor(() => expect(bodies).toHaveLength(1));
  await new Promise((resolve) => setTimeout(resolve, 1500)); // longer than the pause before a retry
  expect(bodies).toHaveLength(1);
  expect(client.outbox.entries).toEqual([]);
});

test("a message that a limit holds back can be discarded, and what is behind it is sent", async () => {
  const bodies: SendBody[] = [];
  const { send, answer } = server();
  answer();
  const limit = new ChatError({ code: "too_many_turns", message: "Too many." }, 429, 3600);
  const client = tabOf(userId(), async function* (body) {
    bodies.push(body);
    if (body.request === "One") throw limit;
    yield* send(body);
  });
  const thread = newThread();
  const { key } = await client.send(thread, { request: "One" });
  await client.send(thread, { request: "Two" });
  const hour = 3_600_000;
  await vi.waitFor(() =>
    expect(client.outbox.get(key)?.nextAt).toBeGreaterThan(Date.now() + hour / 2),
  );
  await client.outbox.remove(key);
  await vi.waitFor(() => expect(bodies.map(({ request }) => request)).toEqual(["One", "Two"]));
  await vi.waitFor(() => expect(client.outbox.entries).toEqual([]));
});

const forbidden = new ChatError({ code: "forbidden", message: "Not the signed-in user." }, 403);

test.each([
  ["another has signed in", forbidden],
  ["nobody is signed in any more", signedOut()],
])("a message says whose it is, and waits for its user where %s", async (_, refusal) => {
  const bodies: SendBody[] = [];
  const user = userId();
  const client = tabOf(
    user,
    async function* (body) {
      bodies.push(body);
      throw refusal;
    },
    "another",
  );
  const { key } = await client.send(newThread(), { request: "Mine" });
  await vi.waitFor(() => expect(client.outbox.get(key)?.attempts).toBe(1));
  await vi.waitFor(() => expect(client.outbox.get(key)?.state).toBe("queued"));
  await new Promise((resolve) => setTimeout(resolve, 1500)); // longer than the pause before a retry
  expect(bodies).toEqual([{ request: "Mine", userId: user }]);
  expect(client.outbox.get(key)).toMatchObject({ state: "queued", body: { request: "Mine" } });
});

test("what a user may not send themselves has failed", async () => {
  const client = tabOf(userId(), async function* () {
    throw forbidden;
  });
  const { key } = await client.send(newThread(), { request: "Mine" });
  await vi.waitFor(() => expect(client.outbox.get(key)?.state).toBe("failed"));
});

test("what was written to a conversation that is gone is seen where one is begun, and begins it", async () => {
  const { bodies, send, answer } = server();
  answer();
  const client = tabOf(userId(), async function* (body) {
    if (!body.conversationId) return yield* send(body);
    throw new ChatError({ code: "conversation_not_found", message: "Gone." }, 404);
  });
  const { key } = await client.send("gone", { request: "One", conversationId: "gone" });
  await vi.waitFor(() => expect(client.outbox.get(key)?.state).toBe("failed"));
  const thread = newThread();
  const isSeen = (id: string | null) =>
    client.outbox.entries.some((entry) => belongs(entry, id ?? thread, id));
  expect([isSeen(null), isSeen("gone"), isSeen("other")]).toEqual([true, true, false]);
  await client.retry(key, thread);
  await vi.waitFor(() => expect(client.outbox.entries).toEqual([]));
  expect(bodies).toMatchObject([{ request: "One", conversationId: undefined }]);
  expect(client.threads.conversationOf(thread)).toBe("conversation 1");
});
