// promise outbox: red on an entry that is removed before it was sent
import "fake-indexeddb/auto";
import { afterEach, expect, test, vi } from "vitest";
import { PersistedChatTransport } from "../src/transport/index";

vi.mock("../src/core/waiting", async (original) => ({
  ...(await original<object>()),
  wait: () => Promise.resolve(),
}));

const MESSAGE = { id: "m", role: "user" as const, parts: [{ type: "text" as const, text: "Hi" }] };
const WHOLE = [
  { type: "start", messageId: "t" },
  { type: "text-start", id: "1" },
  { type: "text-delta", id: "1", delta: "Hello" },
  { type: "text-end", id: "1" },
  { type: "finish" },
];
let users = 0;

afterEach(() => vi.unstubAllGlobals());

function transport(user = `user ${(users += 1)}`) {
  return new PersistedChatTransport({ url: "http://x", userId: user, headers: () => ({}) });
}

function answer(chunks: object[], isBroken = false): Response {
  const lines = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
  const body = new ReadableStream({
    pull(controller) {
      const line = lines.shift();
      if (line) controller.enqueue(new TextEncoder().encode(line));
      else if (isBroken) controller.error(new TypeError("network error"));
      else controller.close();
    },
  });
  return new Response(body);
}

function serve(...answers: (() => Promise<Response>)[]) {
  const fetch = vi.fn((_url: string, _options: RequestInit) => answers.shift()!());
  vi.stubGlobal("fetch", fetch);
  return fetch;
}

const given = (response: Response) => () => Promise.resolve(response);
const refused = () => Promise.reject(new TypeError("Failed to fetch"));

async function all(stream: ReadableStream | null): Promise<{ type: string }[]> {
  const chunks = [];
  for await (const chunk of stream as unknown as AsyncIterable<{ type: string }>) {
    chunks.push(chunk);
  }
  return chunks;
}

const sending = (signal?: AbortSignal) => ({
  chatId: "c",
  messages: [MESSAGE, MESSAGE],
  trigger: "submit-message" as const,
  messageId: undefined,
  abortSignal: signal,
});

test("a message is sent until it arrives, each time as the same one", async () => {
  const busy = new Response("{}", { status: 409 });
  const fetch = serve(refused, given(busy), given(answer(WHOLE)));
  expect(await all(await transport().sendMessages(sending()))).toEqual(WHOLE);
  const requests = fetch.mock.calls.map(([, options]) => options);
  expect(new Set(requests.map(({ body }) => body)).size).toBe(1);
  const keys = requests.map(({ headers }) => new Headers(headers).get("idempotency-key"));
  expect(new Set(keys).size).toBe(1);
  expect(JSON.parse(requests[0]!.body as string)).toEqual({
    id: "c",
    message: MESSAGE,
    trigger: "submit-message",
  });
});

test("an answer that breaks off is written once more in its place", async () => {
  serve(given(answer(WHOLE.slice(0, 3), true)), given(answer(WHOLE)));
  const chunks = await all(await transport().sendMessages(sending()));
  expect(chunks[0]).toEqual(WHOLE[0]);
  expect(chunks.slice(-WHOLE.length)).toEqual([{ type: "reset-step" }, ...WHOLE.slice(1)]);
});

test("what was not sent before a reload is loaded, and sent when the chat is resumed", async () => {
  const user = `user ${(users += 1)}`;
  const left = new AbortController();
  const untilLeft = new Promise<Response>((_, reject) => {
    left.signal.addEventListener("abort", () => reject(left.signal.reason));
  });
  serve(() => untilLeft);
  const stream = await transport(user).sendMessages(sending(left.signal));
  left.abort();
  await expect(all(stream)).rejects.toThrow();

  const again = transport(user);
  const stored = { messages: [], openTurn: null, page: { hasOlder: false, oldestSeq: null } };
  serve(
    given(Response.json(stored)),
    given(answer(WHOLE)),
    given(new Response(null, { status: 204 })),
  );
  expect((await again.load("c")).messages).toEqual([MESSAGE]);
  expect(await all(await again.reconnectToStream({ chatId: "c" }))).toEqual(WHOLE);
  expect(await again.reconnectToStream({ chatId: "c" })).toBeNull();
});

test("a refusal is an error, and is not sent again", async () => {
  const fetch = serve(given(new Response("no", { status: 400 })));
  await expect(all(await transport().sendMessages(sending()))).rejects.toThrow("no");
  expect(fetch).toHaveBeenCalledTimes(1);
});

test("a turn that was seen to run is asked for by its name, once", async () => {
  const open = { messages: [], openTurn: { turnId: "t" }, page: {} };
  const none = () => given(new Response(null, { status: 204 }));
  const fetch = serve(given(Response.json(open)), none(), none());
  const chat = transport();
  await chat.load("c");
  for (let times = 0; times < 2; times += 1) await chat.reconnectToStream({ chatId: "c" });
  expect(fetch.mock.calls.slice(1).map(([url]) => url)).toEqual([
    "http://x/ui-messages/c/stream?turnId=t",
    "http://x/ui-messages/c/stream",
  ]);
});
