// A program in TypeScript writes a turn with the service key, as docs/turns.md has it. No SDK.
// Usage: node turns.mjs <url> <publishable key> <secret key> <user id> <file with the page's lines>

const [url, , secretKey, userId, lines] = process.argv.slice(2);
process.env.SUPABASE_URL = url;
process.env.SUPABASE_SECRET_KEY = secretKey;
const { answer } = await import(lines);

async function* agent(history, text) {
  yield `After ${history.length}: `;
  yield text;
  yield " 🎉";
}

const first = await answer({ userId, text: "Hello", key: "js-1", agent });
const again = await answer({ userId, text: "Hello", key: "js-1", agent });
const { conversation_id: conversationId } = first;
const second = await answer({ userId, text: "More", key: "js-2", conversationId, agent });
let failed = null;
try {
  await answer({
    userId, text: "Fail", key: "js-3", conversationId,
    async *agent() { yield "Half"; throw new Error("broken"); },
  });
} catch (error) {
  failed = error.message;
}
const last = await answer({ userId, text: "Fail", key: "js-3", conversationId, agent });
const call = { type: "tool-search", toolCallId: "1", state: "input-available", input: {} };
const tools = await answer({
  userId, text: "Look", key: "js-4", conversationId,
  async *agent() {
    yield "I look.";
    yield call;
    yield { ...call, state: "output-available", output: [1] };
    yield "Found.";
  },
});
console.log(JSON.stringify({ first, again, second, failed, last, tools }));
