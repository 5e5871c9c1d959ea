// promise page in trouble: red on a closed topic not joined again; losses forgotten at each join
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { afterEach, expect, test, vi } from "vitest";
import { listen } from "../src/core/live";

type Frame = [string | null, string | null, string, string, unknown];

/** A Realtime server: answers joins at once, and whoever leaves after a moment. */
class FakeSocket extends EventTarget {
  static last: FakeSocket;
  static joins = 0;
  readyState = 0;
  bufferedAmount = 0;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: object) => void;
  private joinRef: string | null = null;

  constructor() {
    super();
    FakeSocket.last = this;
    queueMicrotask(() => {
      this.readyState = 1;
      this.onopen?.();
    });
  }

  send(text: string): void {
    const [joinRef, ref, topic, event] = JSON.parse(text) as Frame;
    if (event === "phx_join") {
      FakeSocket.joins += 1;
      this.joinRef = joinRef;
    }
    const reply = () =>
      this.push([joinRef, ref, topic, "phx_reply", { status: "ok", response: {} }]);
    setTimeout(reply, event === "phx_leave" ? 50 : 0);
  }

  /** Close a topic from the server's side, as it does when a token has expired. */
  shut(topic: string): void {
    this.push([this.joinRef, this.joinRef, topic, "phx_close", {}]);
  }

  push(frame: Frame): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.({ code: 1000, wasClean: true });
  }
}

const TOPIC = "realtime:conversation:c";
let client: SupabaseClient;

function connected(): SupabaseClient {
  FakeSocket.joins = 0;
  client = createClient("http://stack.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: FakeSocket as unknown as typeof WebSocket },
  });
  return client;
}

afterEach(async () => {
  vi.useRealTimers();
  await client.removeAllChannels();
});

const listener = () => ({ onEvent: vi.fn(), onJoined: vi.fn() });

test("a conversation that is opened again while it is being left is listened to", async () => {
  connected();
  const [first, second] = [listener(), listener()];
  const leave = listen(client, "c", first);
  await vi.waitFor(() => expect(first.onJoined).toHaveBeenCalledWith(true));
  leave();
  const leaveAgain = listen(client, "c", second);
  await vi.waitFor(() => expect(second.onJoined).toHaveBeenCalledWith(true));
  FakeSocket.last.push([null, null, TOPIC, "broadcast", { event: "status", payload: { a: 1 } }]);
  expect(second.onEvent).toHaveBeenCalledOnce();
  expect(first.onEvent).not.toHaveBeenCalled();
  leaveAgain();
});

test("a topic that the server has closed is joined again", async () => {
  connected();
  const follower = listener();
  const leave = listen(client, "c", follower);
  await vi.waitFor(() => expect(follower.onJoined).toHaveBeenCalledWith(true));
  FakeSocket.last.shut(TOPIC);
  expect(follower.onJoined).toHaveBeenLastCalledWith(false);
  await vi.waitFor(() => expect(follower.onJoined).toHaveBeenLastCalledWith(true), 3_000);
  expect(FakeSocket.joins).toBe(2);
  leave();
});

/** Let the topic be joined, and closed as soon as it is; return how long each join took to come. */
async function lose(times: number): Promise<number[]> {
  const pauses: number[] = [];
  for (let loss = 0; loss < times; loss += 1) {
    const joins = FakeSocket.joins;
    const lost = Date.now();
    FakeSocket.last.shut(TOPIC);
    while (FakeSocket.joins === joins) await vi.advanceTimersByTimeAsync(50);
    pauses.push(Date.now() - lost);
    await vi.advanceTimersByTimeAsync(50); // the answer
  }
  return pauses;
}

test("the pause before a join grows with each loss, and is short again after a quiet minute", async () => {
  vi.useFakeTimers();
  connected();
  const follower = listener();
  const leave = listen(client, "c", follower);
  await vi.advanceTimersByTimeAsync(100);
  const pauses = await lose(10);
  pauses.forEach((pause, loss) => {
    const most = Math.min(500 * 2 ** loss, 60_000);
    expect(pause).toBeGreaterThanOrEqual(most / 2);
    expect(pause).toBeLessThanOrEqual(most + 100);
  });
  await vi.advanceTimersByTimeAsync(59_000);
  expect((await lose(1))[0]).toBeGreaterThan(29_000);
  await vi.advanceTimersByTimeAsync(61_000);
  expect((await lose(1))[0]).toBeLessThan(700);
  leave();
});

test("who is lost at the same moment comes back at different ones", async () => {
  vi.useFakeTimers();
  const pauses = new Set<number>();
  for (let tab = 0; tab < 5; tab += 1) {
    connected();
    const leave = listen(client, "c", listener());
    await vi.advanceTimersByTimeAsync(100);
    pauses.add((await lose(6)).at(-1) ?? 0);
    leave();
  }
  expect(pauses.size).toBeGreaterThan(1);
});
