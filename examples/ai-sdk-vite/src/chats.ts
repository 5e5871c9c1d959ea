/** Where the chats are: a transport for `useChat`, and the three calls that are none of its own. */

import { createClient } from "@supabase/supabase-js";
import { DefaultChatTransport, type UIMessage } from "ai";

const { VITE_SUPABASE_URL: url, VITE_SUPABASE_PUBLISHABLE_KEY: apikey } = import.meta.env;
const api = `${url}/functions/v1/ui-messages`;

export const supabase = createClient(url, apikey);

/** What is known of each message beside its parts. */
export interface Metadata {
  messageId: string;
  seq: number;
  createdAt: string;
}

export type Message = UIMessage<Metadata>;

export interface LoadedChat {
  messages: Message[];
  openTurn: { turnId: string } | null;
}

async function headers(): Promise<Record<string, string>> {
  const { data } = await supabase.auth.getSession();
  return { apikey, authorization: `Bearer ${data.session?.access_token ?? apikey}` };
}

export const transport = new DefaultChatTransport<Message>({ api, headers });

export async function loadChat(id: string): Promise<LoadedChat> {
  const answer = await fetch(`${api}/${id}`, { headers: await headers() });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

/** Stop the reply for good: to leave a stream, as `stop` of `useChat` does, stops nothing here. */
export async function stopChat(id: string): Promise<void> {
  await fetch(`${api}/${id}/stop`, { method: "POST", headers: await headers() });
}
