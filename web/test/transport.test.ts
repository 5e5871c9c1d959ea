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

const status = (attempt: number) => ({
  type: "data-status",
  data: { status: "accepted", attempt },
  transient: true,
});
const text = (id: string, ...deltas: string[]) => [
  { type: "text-start", id },
  ...deltas.map((delta) => ({ type: "text-delta", id, delta })),
  { type: "text-end", id },
];

/** The chunks that are shown where an answer breaks off after so many, and then comes as this. */
async function shownOf(first: object[], after: number, again: object[]) {
  serve(given(answer(first.slice(0, after), true)), given(answer(again)));
  const chunks = await all(await transport().sendMessages(sending()));
  return chunks.filter(({ type }) => type !== "data-status");
}

test("what is shown of an answer that breaks off is not shown again, however it is cut", async () => {
  const call = { type: "tool-input-available", toolCallId: "c", toolName: "t", input: {} };
  const step = { type: "start-step" };
  const start = [WHOLE[0]!, status(1), step, ...text("text-1", "One ", "two"), call];
  const rest = [step, ...text("text-2", "Hello"), { type: "finish" }];
  const whole = [...start, ...rest];
  const other = [WHOLE[0]!, status(1), step, ...text("text-1", "One two"), call, ...rest];
  for (let after = 1; after < whole.length; after += 1) {
    const chunks = await shownOf(whole, after, other);
    const said = (type: string) => chunks.filter((chunk) => chunk.type === type);
    const texts = said("text-delta").map((chunk) => (chunk as { delta?: string }).delta);
    expect(texts.join("")).toBe("One twoHello");
    for (const [type, count] of [
      ["start-step", 2],
      ["text-end", 2],
      ["tool-input-available", 1],
    ]) {
      expect(said(type as string)).toHaveLength(count as number);
    }
    expect(chunks.at(-1)).toEqual({ type: "finish" });
  }
});

test("another attempt at a reply takes the place of what was shown", async () => {
  const half = [WHOLE[0]!, status(1), { type: "start-step" }, ...text("text-1", "Other")];
  const again = [WHOLE[0]!, status(2), { type: "start-step" }, ...text("text-1", "Hello")];
  const end = { type: "finish" };
  expect(await shownOf([...half, end], half.length, [...again, end])).toEqual([
    ...half.filter(({ type }) => type !== "data-status"),
    { type: "reset-step" },
    ...text("text-1", "Hello"),
    end,
  ]);
});

test("what has gone on to another step can't be taken back: that is an error", async () => {
  const steps = [...text("text-1", "One"), { type: "start-step" }, ...text("text-2", "two")];
  const half = [WHOLE[0]!, status(1), ...steps];
  const shown = shownOf([...half, WHOLE[0]!], half.length, [WHOLE[0]!, status(2)]);
  await expect(shown).rejects.toThrow("load the chat again");
});

test("an error in the midst of an answer may pass; that of a failed reply is its end", async () => {
  const failure = { type: "error", errorText: "It broke." };
  serve(given(answer([WHOLE[0]!, failure])), given(answer(WHOLE)));
  const chunks = await all(await transport().sendMessages(sending()));
  expect(chunks).toEqual(WHOLE);

  const failed = [WHOLE[0]!, { type: "message-metadata", messageMetadata: {} }, failure];
  const fetch = serve(given(answer(failed)));
  expect(await all(await transport().sendMessages(sending()))).toEqual(failed);
  expect(fetch).toHaveBeenCalledTimes(1);
});

test("a message that was stored before its answer came is loaded once", async () => {
  const user = `user ${(users += 1)}`;
  const left = new AbortController();
  const untilLeft = new Promise<Response>((_, reject) => {
    left.signal.addEventListener("abort", () => reject(left.signal.reason));
  });
  serve(() => untilLeft);
  const stream = await transport(user).sendMessages(sending(left.signal));
  left.abort();
  await expect(all(stream)).rejects.toThrow();
  const stored = [
    { ...MESSAGE, id: "first" },
    { ...MESSAGE, id: "row", metadata: { sentAs: MESSAGE.id } },
    { id: "reply", role: "assistant", parts: [] },
  ];
  serve(given(Response.json({ messages: stored, openTurn: null, page: {} })));
  const { messages } = await transport(user).load("c");
  expect(messages.map(({ id }) => id)).toEqual(["first", "m"]);
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
