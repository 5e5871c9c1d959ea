/** Every text of the chat: English, unless a ChatProvider is given others. */

import { createContext, useContext } from "react";
import { isBlank } from "../core/text";

export const TEXTS = {
  conversation: "Conversation",
  messages: "Messages",
  welcome: "What shall we work on?",
  promise: "Every message is stored before the AI starts, and every reply as it is written.",
  examples: [
    "Write a Python function that checks whether a string is a palindrome",
    "Explain the difference between a process and a thread",
    "Plan a small web shop: pages, tables, endpoints",
  ],

  yourMessage: "Your message",
  writeMessage: "Write a message",
  send: "Send",
  stop: "Stop",
  keys: "Enter sends, Shift and Enter starts a new line",
  keyThatStops: ", Escape stops the reply",

  loading: "Loading the conversation",
  sending: "Saving your message",
  thinking: "Thinking",
  generating: "Writing",
  saving: "Saving the reply",
  replyComplete: "Reply complete",
  replyNotComplete: "Reply not complete",
  notSent: (reason: string) => `Message not sent: ${reason}`,
  offline:
    "You are offline. What you write is kept in this browser and sent when the network is back.",
  tryAgain: "Try again",
  /** By the code of an error; where there is none, what the server says is shown. */
  errors: {} as Record<string, string>,

  you: "You",
  ai: "AI",
  system: "System",
  summary: "Summary",
  youPending: "You, not stored yet",
  aiWriting: "AI, writing",
  summaryOfEarlier: "Summary of earlier messages",
  empty: "Nothing to see: an empty message.",
  stopped: "Stopped.",
  notComplete: "Not complete.",
  cut: "This reply was cut before its end.",
  goOn: "Go on",
  goOnRequest: "Go on where your reply was cut.",
  imported: "imported",
  copyMessage: "Copy message",
  loadingOlder: "Loading older messages",
  toNewest: "Go to the newest message",

  failed: "Could not be sent.",
  queued: "Queued: kept in this browser until it is sent",
  sentAgainAt: (time: string) => `Sent again at ${time}`,
  sendingNow: "Sending",
  sendingAgain: "Trying again",
  discard: "Discard",

  conversations: "Conversations",
  archivedConversations: "Archived conversations",
  noConversations: "No conversations yet.",
  emptyArchive: "The archive is empty.",
  untitled: "Untitled",
  more: "Show more",
  loadingMore: "Loading",

  files: "Generated files",
  download: "Download",
  table: "Table",
  image: (name: string) => `Image: ${name}`,
  copy: (name: string) => `Copy ${name}`,
  copied: "Copied",
  notCopied: "Could not be copied",
  plainText: "text",
  hiddenCharacters: "Holds invisible characters that change the order in which it is shown.",
  showLines: (count: string) => `Show all ${count} lines`,
  showMore: (count: string) => `Show more (${count} characters left)`,
};

export type ChatTexts = typeof TEXTS;

export const TextsContext = createContext(TEXTS);

export function useTexts(): ChatTexts {
  return useContext(TextsContext);
}

/** What is said of an error. */
export function errorText({ errors }: ChatTexts, error: { code: string; message: string }): string {
  return errors[error.code] ?? error.message;
}

/** What a conversation is called, also where nothing of its title can be seen. */
export function titleOf({ title }: { title: string }, { untitled }: ChatTexts): string {
  return isBlank(title) ? untitled : title;
}
