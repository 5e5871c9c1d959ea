/** What a chat is to the components that show it, whether its messages are stored or not. */

import type { Connection } from "../core/snapshot.js";
import type { ChatError } from "../core/errors.js";
import type { TurnState } from "../core/state.js";
import type {
  ConversationRow,
  ErrorBody,
  MessageRow,
  OutboxEntry,
  Sibling,
  Siblings,
} from "../core/types.js";

export interface UniversalAIChatOptions {
  /** The conversation to show; without one, the first message starts one. */
  conversationId?: string;
  projectId?: string;
  /** False: the AI answers, and nothing is stored anywhere. */
  persistMessages?: boolean;
  /** Called with the id of a conversation that the first message has started. */
  onConversation?: (conversationId: string) => void;
}

export type ChatStatus = "loading" | "ready" | "sending" | "thinking" | "generating" | "saving";

export interface UniversalAIChat {
  /** The same for as long as one conversation is shown, also while a new one gets its id. */
  thread: string;
  conversationId: string | null;
  conversation: ConversationRow | null;
  /** What the database holds of the path that is active, in order. */
  messages: MessageRow[];
  /** By the id of a message, of those that have some: which of how many versions it is. */
  siblings: Record<string, Siblings>;
  /** What is on its way there: queued, being sent, or failed. */
  pending: OutboxEntry[];
  /** The turn that runs, and its text so far. */
  turn: TurnState | null;
  status: ChatStatus;
  connection: Connection;
  error: ChatError | ErrorBody | null;
  hasOlder: boolean;
  hasNewer: boolean;
  isLoadingOlder: boolean;
  send(text: string, metadata?: Record<string, unknown>): Promise<void>;
  /** Send a text beside a user's message; the conversation goes on from there. */
  edit(messageId: string, text: string): Promise<void>;
  /** Have a message, or a reply, answered once more. */
  regenerate(messageId: string): Promise<void>;
  /** Show another version of a message, in each tab and from now on. */
  show(sibling: Sibling): Promise<void>;
  stop(): Promise<void>;
  /** Send a message that failed once more, under the key it had. */
  retry(key: string): Promise<void>;
  /** Forget a message that was not stored. */
  discard(key: string): Promise<void>;
  reload(): Promise<void>;
  loadOlder(): Promise<void>;
  loadNewer(): Promise<void>;
  loadNewest(): Promise<void>;
  /** Show the place of a message, such as a hit of a search. */
  loadAround(messageId: string): Promise<void>;
}

export const nothing = async () => undefined;
