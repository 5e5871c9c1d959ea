// The AI SDK's chat transport against the route handlers of examples/next-route, which it calls as
// a server would. Usage: node route.mjs <handlers> <token>; prints what came as one JSON object.

import { DefaultChatTransport, readUIMessageStream } from "ai";

const [handlers, token] = process.argv.slice(2);
const { GET, POST } = await import(handlers);
const call = (url, options) => (options.method === "GET" ? GET : POST)(new Request(url, options));
const api = "http://app.example/api/chat";
const headers = { authorization: `Bearer ${token}` };
const transport = new DefaultChatTransport({ api, headers, fetch: call });

const chatId = crypto.randomUUID();
const message = { id: "m1", role: "user", parts: [{ type: "text", text: "Hello" }] };
const stream = await transport.sendMessages({
  chatId,
  messages: [message],
  trigger: "submit-message",
});
let reply;
for await (const state of readUIMessageStream({ stream })) reply = state;
const loaded = await (await call(`${api}/${chatId}`, { method: "GET", headers })).json();
const resumed = await transport.reconnectToStream({ chatId });
const stranger = await call(api, { method: "POST", body: "{}" });
console.log(
  JSON.stringify({ chatId, reply, loaded: loaded.messages, resumed, stranger: stranger.status }),
);
