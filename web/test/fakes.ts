/** Endpoints that respond what a test wants, when it wants. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { Conversation } from "../src/core/conversation";
import type { Endpoints, LoadPlace } from "../src/core/endpoints";
import type { LiveEvent, LoadedConversation } from "../src/core/types";

type Load = (place: LoadPlace) => Promise<LoadedConversation>;

/** A conversation that loads what a function gives, and a topic that a test speaks for. */
export function conversationOf(load: Load, endpoints: Partial<Endpoints> = {}) {
  const listeners = new Map<string, (message: { payload: unknown }) => void>();
  let onStatus: (status: string) => void = () => undefined;
  const channel = {
    on: (_: string, { event }: { event: string }, listener: (message: object) => void) =>
      listeners.set(event, listener as never),
    subscribe: (listener: typeof onStatus) => {
      onStatus = listener;
    },
  };
  const client = {
    realtime: { setAuth: async () => undefined },
    channel: () => channel,
    removeChannel: async () => "ok",
  };
  const conversation = new Conversation(
    "c",
    client as unknown as SupabaseClient,
    { load: (_: string, place: LoadPlace) => load(place), ...endpoints } as Endpoints,
  );
  return {
    conversation,
    say: ({ event, payload }: LiveEvent) => listeners.get(event)?.({ payload }),
    join: (status = "SUBSCRIBED") => onStatus(status),
  };
}
