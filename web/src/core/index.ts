/** The chat without React: one user's outbox, the conversations that are open, the functions. */

export { ChatClient } from "./client.js";
export type { Connection, Conversation, ConversationSnapshot } from "./conversation.js";
export type { Endpoints } from "./endpoints.js";
export { ChatError } from "./errors.js";
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
} from "./types.js";
