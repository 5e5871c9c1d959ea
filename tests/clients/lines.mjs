// A page's lines for supabase-js, as they stand, for a user who has just signed up. Prints what they
// logged and what they export, as one JSON object.
// Usage: node lines.mjs <url> <publishable key> <file with the lines and their exports>

import { pathToFileURL } from "node:url";
import { createClient } from "@supabase/supabase-js";

const [url, key, file] = process.argv.slice(2);
const logged = [];
console.log = (line) => logged.push(line);

const supabase = createClient(url, key, { auth: { persistSession: false } });
const email = `lines-${crypto.randomUUID()}@example.com`;
const { error } = await supabase.auth.signUp({ email, password: "correct-horse" });
if (error) throw error;
globalThis.supabase = supabase;

const { rows } = await import(pathToFileURL(file).href);
process.stdout.write(JSON.stringify({ logged: logged.join(""), rows }));
process.exit(0);
