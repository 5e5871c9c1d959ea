// promise page in trouble: red on a closed topic not joined again
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

afterEach(() => client.removeAllChannels());

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
