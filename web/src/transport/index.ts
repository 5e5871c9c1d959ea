/** For the AI SDK's `useChat`: a transport that writes down what it sends. Needs the package `ai`. */

export { type LoadedChat, PersistedChatTransport, type TransportOptions } from "./transport.js";
