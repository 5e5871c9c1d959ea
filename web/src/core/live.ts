/** The private Realtime topic of one conversation: joined with the user's token, and kept joined. */

import type { RealtimeChannel, SupabaseClient } from "@supabase/supabase-js";
import type { LiveEvent } from "./types";
import { pauseAfter, wait } from "./waiting";

export interface LiveListener {
  onEvent(event: LiveEvent): void;
  /** Called at each join and each loss; events may have been missed before a join. */
  onJoined(isJoined: boolean): void;
}

const EVENTS = ["status", "delta", "message"] as const;

/** Listen to a conversation's topic until the returned function is called. */
export function listen(
  client: SupabaseClient,
  conversationId: string,
  listener: LiveListener,
): () => void {
  const closed = new AbortController();
  let channel: RealtimeChannel | null = null;
  let losses = 0;

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
      listener.onJoined(status === "SUBSCRIBED");
      if (status === "SUBSCRIBED") losses = 0;
      if (status === "CLOSED") void rejoin();
    });
  }

  /** The server closes the topic to a token that has expired; the client leaves it at that. */
  async function rejoin(): Promise<void> {
    await wait(pauseAfter(losses), closed.signal);
    losses += 1;
    if (!closed.signal.aborted) await join().catch(rejoin);
  }

  join().catch(() => {
    listener.onJoined(false);
    return rejoin();
  });
  return () => {
    closed.abort();
    if (channel) void client.removeChannel(channel);
  };
}
