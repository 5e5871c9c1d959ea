/** What another React app takes over. */

export { ChatProvider, type ChatProviderProps } from "./components/ChatProvider";
export { ConversationList, type ConversationListProps } from "./components/ConversationList";
export { type ChatTexts, TEXTS } from "./components/texts";
export {
  UniversalChatInterface,
  type UniversalChatInterfaceProps,
} from "./components/UniversalChatInterface";
export { ChatClient } from "./core/client";
export type { Connection } from "./core/conversation";
export { ChatError } from "./core/errors";
export type { TurnState } from "./core/state";
export type {
  ConversationRow,
  GeneratedFile,
  MessageMetadata,
  MessageRow,
  OutboxEntry,
} from "./core/types";
export type { ChatStatus, UniversalAIChat, UniversalAIChatOptions } from "./hook/chat";
export { useUniversalAIChat } from "./hook/useUniversalAIChat";
