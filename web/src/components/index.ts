"use client";

/** The chat as it is seen. Needs styles.css, and a ChatProvider around it. */

export { TEXTS } from "../texts.js";
export { ConversationList, type ConversationListProps } from "./ConversationList.js";
export { ErrorBoundary } from "./ErrorBoundary.js";
export { save as saveFile } from "./Files.js";
export { titleOf } from "./texts.js";
export { timeOf } from "./time.js";
export {
  UniversalChatInterface,
  type UniversalChatInterfaceProps,
} from "./UniversalChatInterface.js";
