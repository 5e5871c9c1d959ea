"use client";

/** The chat as React state; what it looks like is up to you. */

export type { ChatTexts } from "../texts.js";
export type { ChatStatus, UniversalAIChat, UniversalAIChatOptions } from "./chat.js";
export { ChatProvider, type ChatProviderProps } from "./ChatProvider.js";
export { useChatContext } from "./context.js";
export { useConversation, useSnapshot } from "./useConversation.js";
export { useConversations } from "./useConversations.js";
export { usePages } from "./usePages.js";
export { useUniversalAIChat } from "./useUniversalAIChat.js";
