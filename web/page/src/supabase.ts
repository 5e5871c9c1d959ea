/** The project's client, for browsers that keep nothing and clocks that are wrong. */

import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { storage } from "./storage";

let project = "";

/** Where the project is that this page talks to. */
export function projectUrl(): string {
  return project;
}

export function createPageClient(url: string, publishableKey: string): SupabaseClient {
  project = url;
  return createClient(url, publishableKey, {
    auth: { storage },
    global: { fetch: fetchByOwnClock },
  });
}

/** A token's end by the server's clock is long past by one that is fast: the seconds are kept. */
export async function fetchByOwnClock(
  input: RequestInfo | URL,
  init?: RequestInit,
): Promise<Response> {
  const response = await fetch(input, init);
  const address = input instanceof Request ? input.url : String(input);
  if (!response.ok || !/\/auth\/v1\/(token|signup|verify)\b/.test(address)) return response;
  const { expires_at: _, ...session } = await response.json();
  return Response.json(session, { status: response.status, headers: response.headers });
}
