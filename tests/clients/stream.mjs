// supabase-js, unmodified, reads a turn as a stream. Prints each event's name as it comes.
// Usage: node stream.mjs <url> <publishable key>

import { createClient } from "@supabase/supabase-js";

const [url, key] = process.argv.slice(2);
const client = createClient(url, key, { auth: { persistSession: false } });
const email = `stream-${crypto.randomUUID()}@example.com`;
const { error: refused } = await client.auth.signUp({ email, password: "correct-horse-battery" });
if (refused) throw refused;

const { data: answer, error } = await client.functions.invoke("mega-mind", {
  body: { request: "Count" },
  headers: { accept: "text/event-stream" },
});
if (error) throw error;

let text = "";
for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
  text += piece;
  const events = text.split("\n\n");
  text = events.pop();
  for (const event of events) {
    const name = event.match(/^event: (.*)$/m)?.[1];
    if (name) console.log(name);
  }
}
process.exit(0);
