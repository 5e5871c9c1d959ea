/** The private Realtime topic of one conversation: joined with the user's token, and kept joined. */

import type { RealtimeChannel, SupabaseClient } from "@supabase/supabase-js";
import type { LiveEvent } from "./types";

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
  let channel: RealtimeChannel | null = null;
  let isClosed = false;

  async function join(): Promise<void> {
    await client.realtime.setAuth();
    if (isClosed) return;
    channel = client.channel(`conversation:${conversationId}`, { config: { private: true } });
    for (const event of EVENTS) {
      channel.on("broadcast", { event }, ({ payload }) => {
        listener.onEvent({ event, payload } as LiveEvent);
      });
    }
    channel.subscribe((status) => {
      if (!isClosed) listener.onJoined(status === "SUBSCRIBED");
    });
  }

  join().catch(() => listener.onJoined(false));
  return () => {
    isClosed = true;
    if (channel) void client.removeChannel(channel);
  };
}
