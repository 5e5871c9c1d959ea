// supabase-js, unmodified, does what an application does. Prints what it saw as one JSON object.
// Usage: node application.mjs <url> <publishable key> [<schema>]

import { createClient } from "@supabase/supabase-js";

const [url, key, schema = "public"] = process.argv.slice(2);

async function signedUp(name) {
  const client = createClient(url, key, { auth: { persistSession: false }, db: { schema } });
  const email = `${name}-${crypto.randomUUID()}@example.com`;
  const { data, error } = await client.auth.signUp({ email, password: "correct-horse-battery" });
  if (error) throw error;
  // The first private channel after createClient would otherwise be joined without the token.
  await client.realtime.setAuth();
  return { client, id: data.user.id };
}

function join(client, topic, onEvent) {
  return new Promise((resolve) => {
    const channel = client.channel(topic, { config: { private: true } });
    channel
      .on("broadcast", { event: "*" }, onEvent)
      .subscribe((status, error) => {
        if (status !== "CLOSED") resolve({ status, reason: error?.message ?? null });
      });
  });
}

async function invoke(client, name, body) {
  const { data, error } = await client.functions.invoke(name, { body });
  if (error) throw error;
  return data;
}

const owner = await signedUp("owner");
const { conversation } = await invoke(owner.client, "conversations", { title: "From JavaScript" });
const topic = `conversation:${conversation.id}`;

const events = [];
let settled;
const idle = new Promise((resolve) => (settled = resolve));
const joined = await join(owner.client, topic, ({ event, payload }) => {
  events.push({ event, payload });
  if (payload.status === "idle" || payload.status === "error") settled();
});
const turn = await invoke(owner.client, "mega-mind", {
  request: "Hello from supabase-js",
  conversationId: conversation.id,
});
await idle;

const messages = await owner.client
  .from("messages")
  .select("*")
  .eq("conversation_id", conversation.id)
  .order("created_at");
const loaded = await invoke(owner.client, "load-conversation", { conversationId: conversation.id });

const stranger = await signedUp("stranger");
const refused = await join(stranger.client, topic, () => {});
const unseen = await stranger.client.from("messages").select("*");
const missing = await stranger.client.functions.invoke("load-conversation", {
  body: { conversationId: conversation.id },
});

console.log(
  JSON.stringify({
    joined,
    events,
    turn,
    messages: messages.data,
    loaded: loaded.messages,
    refused,
    unseen: unseen.data,
    missing: missing.error?.context?.status,
  }),
);
process.exit(0);
