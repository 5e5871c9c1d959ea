/** The chat without React: one user's outbox, the conversations that are open, the functions. */

export { ChatClient } from "./client.js";
export type { Conversation } from "./conversation.js";
export type { Endpoints } from "./endpoints.js";
export { ChatError } from "./errors.js";
export type { Connection, ConversationSnapshot } from "./snapshot.js";
export type { TurnState } from "./state.js";
export type {
  Analytics,
  ConversationRow,
  ErrorBody,
  Figures,
  GeneratedFile,
  ImportReport,
  LoadedConversation,
  MessageMetadata,
  MessageRow,
  OutboxEntry,
  SearchHit,
  SearchPage,
  Sibling,
  Siblings,
} from "./types.js";
