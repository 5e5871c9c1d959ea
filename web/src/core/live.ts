/** The private Realtime topic of one conversation: joined with the user's token, and kept joined. */

import type { RealtimeChannel, SupabaseClient } from "@supabase/supabase-js";
import type { LiveEvent } from "./types.js";
import { pauseAfter, wait } from "./waiting.js";

export interface LiveListener {
  onEvent(event: LiveEvent): void;
  /** Called at each join and each loss; events may have been missed before a join. */
  onJoined(isJoined: boolean): void;
}

/** How long a topic must hold for its losses to be forgotten, and the longest pause before a join. */
const MINUTE = 60_000;
const EVENTS = ["status", "delta", "part", "part-delta", "message", "branch"] as const;

/** Listen to a conversation's topic until the returned function is called. */
export function listen(
  client: SupabaseClient,
  conversationId: string,
  listener: LiveListener,
): () => void {
  const closed = new AbortController();
  let channel: RealtimeChannel | null = null;
  let losses = 0;
  let well: ReturnType<typeof setTimeout> | undefined;

  async function join(): Promise<void> {
    await client.realtime.setAuth();
    if (closed.signal.aborted) return;
    channel = client.channel(`conversation:${conversationId}`, { config: { private: true } });
    for (const event of EVENTS) {
      channel.on("broadcast", { event }, ({ payload }) => {
        listener.onEvent({ event, payload } as LiveEvent);
      });
    }
    channel.subscribe((status) => {
      if (closed.signal.aborted) return;
      clearTimeout(well);
      if (status === "SUBSCRIBED") well = setTimeout(() => (losses = 0), MINUTE);
      if (status === "CLOSED") void rejoin();
      listener.onJoined(status === "SUBSCRIBED");
    });
  }

  /**
   * The server closes a topic when a token has expired, and when the project is over its limit of
   * messages: the client leaves it at that, and all who came back at once would be over it again.
   */
  async function rejoin(): Promise<void> {
    await wait(pauseAfter(losses, null, MINUTE), closed.signal);
    losses += 1;
    if (!closed.signal.aborted) await join().catch(rejoin);
  }

  join().catch(() => {
    listener.onJoined(false);
    return rejoin();
  });
  return () => {
    closed.abort();
    clearTimeout(well);
    if (channel) void client.removeChannel(channel);
  };
}
