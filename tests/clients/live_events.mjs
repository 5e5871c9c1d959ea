// The lines of docs/live-events.md for supabase-js, as they stand, and then what an application meets: a long
// conversation, and a channel that the server closes. Prints what came of it as one JSON object.
// Usage: node live_events.mjs <url> <publishable key> <file with the lines and an export of `rows`>

import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { createClient } from "@supabase/supabase-js";

const [url, key, file] = process.argv.slice(2);

let socket;
const joins = [];
class WatchedSocket extends WebSocket {
  constructor(...given) {
    super(...given);
    socket = this;
  }
  send(frame) {
    const [joinRef, , topic, event] = typeof frame === "string" ? JSON.parse(frame) : [];
    if (event === "phx_join") joins.push({ joinRef, topic });
    super.send(frame);
  }
}

async function until(isSo) {
  for (let waited = 0; !isSo(); waited += 50) {
    if (waited > 60_000) throw new Error("it never was so");
    await sleep(50);
  }
}

const events = [];
console.log = (event) => events.push(event);

const supabase = createClient(url, key, {
  auth: { persistSession: false },
  realtime: { transport: WatchedSocket },
});
const email = `live-${crypto.randomUUID()}@example.com`;
const { data: account, error } = await supabase.auth.signUp({ email, password: "correct-horse" });
if (error) throw error;
globalThis.supabase = supabase;

const { rows, conversationId } = await import(pathToFileURL(file).href);
await until(() => rows.length === 2);
const first = [...rows];

const message = { conversation_id: conversationId, user_id: account.user.id, role: "user" };
const messages = Array.from({ length: 1_200 }, (_, n) => ({ ...message, content: `Number ${n}` }));
const added = await supabase.from("messages").insert(messages);
if (added.error) throw added.error;

for (let loss = 1; loss <= 2; loss += 1) {
  const { joinRef, topic } = joins.at(-1);
  const data = JSON.stringify([joinRef, joinRef, topic, "phx_close", {}]);
  socket.dispatchEvent(new MessageEvent("message", { data }));
  await until(() => joins.length === 1 + loss);
  await until(() => rows.length === 1_202);
}
const seqs = rows.map((row) => row.seq);
events.length = 0;
await supabase.functions.invoke("mega-mind", { body: { request: "Again", conversationId } });
await until(() => events.includes("message"));

process.stdout.write(
  JSON.stringify({
    first: first.map((row) => row.role),
    seqs,
    joins: joins.length,
    events,
  }),
);
process.exit(0);
