/** What is known of a conversation that is open, and of the road to it. */

import type { ChatError } from "./errors.js";
import { type ChatState, EMPTY } from "./state.js";

export type Connection = "connecting" | "live" | "polling" | "offline";

export interface ConversationSnapshot extends ChatState {
  connection: Connection;
  isLoading: boolean;
  isLoadingOlder: boolean;
  error: ChatError | null;
}

/** Of a conversation before it is opened. */
export const CLOSED: ConversationSnapshot = {
  ...EMPTY,
  connection: "connecting",
  isLoading: false,
  isLoadingOlder: false,
  error: null,
};
