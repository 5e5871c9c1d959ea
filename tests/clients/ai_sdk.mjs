// A chat of the AI SDK, unmodified, driven by lines of JSON: [name, ...arguments] comes in, and what
// the chat holds then goes out. Usage: node ai_sdk.mjs <package> <api> <token> [<file of our transport>]

import { createInterface } from "node:readline";

const [name, api, token, ours] = process.argv.slice(2);
let place = api;
const { fetch } = globalThis;
globalThis.fetch = (url, options) => fetch(String(url).replace(api, place), options);
const {
  AbstractChat,
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} = await import(name === "@ai-sdk/vue" ? "ai" : name);

class State {
  status = "ready";
  error = undefined;
  snapshot = structuredClone;
  constructor(messages) {
    this.messages = messages;
  }
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) =>
    (this.messages = this.messages.with(index, structuredClone(message)));
}

class PlainChat extends AbstractChat {
  constructor({ messages, ...init }) {
    super({ ...init, state: new State(messages) });
  }
}

const { Chat = PlainChat } = await import(name);

const headers = () => ({ authorization: `Bearer ${token}` });
const { PersistedChatTransport } = ours ? await import(ours) : {};
const transport = PersistedChatTransport
  ? new PersistedChatTransport({ url: api.replace("/ui-messages", ""), userId: token, headers })
  : new DefaultChatTransport({ api, headers });
let chat;
const working = new Set();

function begin(work) {
  const done = work.catch(() => {}).finally(() => working.delete(done));
  working.add(done);
}

async function until(isSo) {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}

function sendAutomaticallyWhen(state) {
  return (
    lastAssistantMessageIsCompleteWithApprovalResponses(state) ||
    lastAssistantMessageIsCompleteWithToolCalls(state)
  );
}

async function loaded(id) {
  if (PersistedChatTransport) return transport.load(id).catch(() => null);
  const answer = await globalThis
    .fetch(`${api}/${encodeURIComponent(id)}`, { headers: headers() })
    .catch(() => null);
  return answer?.json();
}

const commands = {
  async open(id) {
    const { messages } = (await loaded(id)) ?? { messages: [] };
    chat = new Chat({ id, messages, transport, sendAutomaticallyWhen });
  },
  // A tab whose messages were loaded before anything was in the chat.
  rename: (id) => (chat = new Chat({ id, messages: [], transport, sendAutomaticallyWhen })),
  use: (other) => (place = other),
  fill: (messages) => (chat.messages = messages),
  send: (message) => begin(chat.sendMessage(message)),
  regenerate: (options) => begin(chat.regenerate(options)),
  resume: () => begin(chat.resumeStream()),
  stop: () => chat.stop(),
  // For good, as any tab may.
  halt: () => globalThis.fetch(`${api}/${chat.id}/stop`, { method: "POST", headers: headers() }),
  approve: (answer) => chat.addToolApprovalResponse(answer),
  output: (answer) => chat.addToolOutput(answer),
  status: (wanted) => until(() => chat.status === wanted),
  until: (text) => until(() => JSON.stringify(chat.messages.at(-1)?.parts)?.includes(text)),
  // What is sent automatically begins when something else has ended.
  settled: () => until(() => !working.size && !["submitted", "streaming"].includes(chat.status)),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...given] = JSON.parse(line);
  await commands[command](...given);
  const { messages, status, error } = chat;
  console.log(JSON.stringify({ messages, status, error: error?.message ?? null }));
}
