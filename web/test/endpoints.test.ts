// promise page in trouble: red on a refused token kept; silence borne; a zip known by a small `.zip` alone
import { createClient } from "@supabase/supabase-js";
import { afterEach, expect, test, vi } from "vitest";
import { Endpoints } from "../src/core/endpoints";
import type { StreamEvent } from "../src/core/types";

afterEach(() => vi.useRealTimers());

type Respond = (request: Request) => Response | Promise<Response>;

/** Endpoints over supabase-js, of a server that is a function. */
function endpointsOf(respond: Respond): {
  endpoints: Endpoints;
  refresh: ReturnType<typeof vi.fn>;
} {
  const client = createClient("http://stack.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { fetch: async (input, init) => respond(new Request(input, init)) },
  });
  const refresh = vi.fn(async () => ({ data: { session: {} }, error: null }));
  client.auth.refreshSession = refresh as never;
  return { endpoints: new Endpoints(client), refresh };
}

const text = "Zwölf 🎉 四\u2028.";
const STREAM = [
  ": keepalive",
  "",
  "event: delta",
  'data: {"turnId": "t", "offset": 0,',
  `data:  "text": "${text}"}`,
  "",
  "event: done",
  'data: {"success": true, "conversationId": "c", "turnId": "t"}',
  "",
  "",
];

function streamOf(...chunks: Uint8Array[]): Response {
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

async function read(events: AsyncGenerator<StreamEvent>): Promise<StreamEvent[]> {
  const all: StreamEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

test.each([
  ["LF", "\n"],
  ["CRLF", "\r\n"],
  ["CR", "\r"],
])("a stream with lines that end in %s is the same wherever it is cut", async (_, end) => {
  const bytes = new TextEncoder().encode(STREAM.join(end));
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const { endpoints } = endpointsOf(() => streamOf(bytes.slice(0, cut), bytes.slice(cut)));
    const events = await read(endpoints.follow("t", null));
    expect(events.map((event) => event.name)).toEqual(["delta", "done"]);
    expect(events[0]).toMatchObject({ data: { offset: 0, text } });
  }
});

test("a stream that ends in the middle of an event is broken, and nothing of it is passed on", async () => {
  const bytes = new TextEncoder().encode(STREAM.join("\n"));
  const cut = new TextEncoder().encode(STREAM.join("\n").split("🎉")[0]).length + 2;
  const { endpoints } = endpointsOf(() => streamOf(bytes.slice(0, cut)));
  await expect(read(endpoints.follow("t", null))).rejects.toMatchObject({ code: "network" });
});

test("a stream in which no byte comes for long is broken", async () => {
  vi.useFakeTimers();
  let cancelled = false;
  const { endpoints } = endpointsOf(({ signal }) => {
    const body = new ReadableStream({
      start(controller) {
        setTimeout(() => controller.enqueue(new TextEncoder().encode(": keepalive\n\n")), 40_000);
        signal.addEventListener("abort", () => {
          cancelled = true;
          controller.error(new DOMException("Aborted.", "AbortError"));
        });
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  const broken = vi.fn();
  void read(endpoints.follow("t", null)).catch(broken);
  await vi.advanceTimersByTimeAsync(80_000);
  expect(broken).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(broken).toHaveBeenCalledWith(expect.objectContaining({ code: "network", status: 0 }));
  expect(cancelled).toBe(true);
});

test("a token that is refused is renewed once, and the request goes well", async () => {
  let asked = 0;
  const { endpoints, refresh } = endpointsOf(() => {
    asked += 1;
    return asked === 1
      ? Response.json({ code: "unauthorized", message: "No." }, { status: 401 })
      : Response.json({ conversations: [], nextCursor: null });
  });
  expect(await endpoints.list()).toEqual({ conversations: [], nextCursor: null });
  expect(refresh).toHaveBeenCalledOnce();
});

test("without a session it is said that nobody is signed in, to those who follow it too", async () => {
  const client = createClient("http://stack.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { fetch: async () => Response.json({ code: "unauthorized" }, { status: 401 }) },
  });
  const events: string[] = [];
  client.auth.onAuthStateChange((event) => void events.push(event));
  await expect(new Endpoints(client).list()).rejects.toMatchObject({
    code: "signed_out",
    isPassing: false,
  });
  expect(events).toContain("SIGNED_OUT");
});

test("a server that refuses every token is not asked for new ones again and again", async () => {
  const { endpoints, refresh } = endpointsOf(() =>
    Response.json({ code: "unauthorized", message: "No." }, { status: 401 }),
  );
  for (let time = 0; time < 3; time += 1) {
    await expect(endpoints.list()).rejects.toMatchObject({ status: 401, isPassing: true });
  }
  expect(refresh).toHaveBeenCalledOnce();
});

test("a call on a road that is dead fails in time, and only the AI has longer", async () => {
  vi.useFakeTimers();
  const { endpoints } = endpointsOf(
    ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
  );
  const [loading, asking] = [vi.fn(), vi.fn()];
  void endpoints.load("c").catch(loading);
  void endpoints.ask({ request: "Hi", persistMessages: false }).catch(asking);
  await vi.advanceTimersByTimeAsync(25_000);
  expect(loading).toHaveBeenCalledWith(
    expect.objectContaining({ code: "network", isPassing: true }),
  );
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asking).not.toHaveBeenCalled();
});

test.each([
  ["export.zip", "", "application/zip"],
  ["EXPORT.ZIP", "", "application/zip"],
  ["export", "application/x-zip-compressed", "application/zip"],
  ["export.json", "application/json", "application/json"],
])("a file %s of type %o is imported as %s", async (name, type, sent) => {
  const types: (string | null)[] = [];
  const { endpoints } = endpointsOf(({ headers }) => {
    types.push(headers.get("content-type"));
    return streamOf(new TextEncoder().encode('event: done\ndata: {"messages": 0}\n\n'));
  });
  await endpoints.import(new File(["x"], name, { type }), () => undefined);
  expect(types).toEqual([sent]);
});

test("a file whose import is cut off is sent again under its key, and goes on", async () => {
  vi.useFakeTimers();
  const keys: (string | null)[] = [];
  const { endpoints } = endpointsOf(({ headers }) => {
    keys.push(headers.get("idempotency-key"));
    const done = keys.length * 2;
    const end = done === 6 ? 'event: done\ndata: {"messages": 6}\n\n' : "";
    const progress = `event: progress\ndata: {"done": ${done}, "total": 6}\n\n`;
    return streamOf(new TextEncoder().encode(progress + end));
  });
  const progress: number[] = [];
  const report = endpoints.import(new File(["x"], "a.json"), (done) => progress.push(done));
  await vi.runAllTimersAsync();
  expect(await report).toEqual({ messages: 6 });
  expect(progress).toEqual([2, 4, 6]);
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toBeTruthy();
});

test.each([
  ["store_unavailable", 4],
  ["invalid_import", 1],
  ["import_incomplete", 1],
])("an import that ends with %s is tried %i times", async (code, times) => {
  vi.useFakeTimers();
  let sent = 0;
  const { endpoints } = endpointsOf(() => {
    sent += 1;
    const data = JSON.stringify({ code, message: "No." });
    return streamOf(new TextEncoder().encode(`event: error\ndata: ${data}\n\n`));
  });
  const failed = expect(
    endpoints.import(new File(["x"], "a.json"), () => undefined),
  ).rejects.toMatchObject({ code });
  await vi.runAllTimersAsync();
  await failed;
  expect(sent).toBe(times);
});
