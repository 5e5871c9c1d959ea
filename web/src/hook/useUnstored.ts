/** A chat that is kept nowhere: for `persistMessages={false}`. Gone with the page. */

import { useCallback, useMemo, useState } from "react";
import type { ChatClient } from "../core/client.js";
import { type ChatError, chatErrorFrom, signedOut } from "../core/errors.js";
import { EMPTY_ROW, type MessageRow, type Role } from "../core/types.js";
import { nothing, type UniversalAIChat } from "./chat.js";

interface Question {
  request: string;
  metadata?: Record<string, unknown>;
}

/** A chat with one client, in one place: another user's, or another conversation, begins empty. */
interface UnstoredChat {
  client: ChatClient | null;
  thread: string;
  messages: MessageRow[];
  question: Question | null;
  isAsking: boolean;
  error: ChatError | null;
}

function begun(client: ChatClient | null, thread: string): UnstoredChat {
  return { client, thread, messages: [], question: null, isAsking: false, error: null };
}

export function useUnstored(
  client: ChatClient | null,
  conversationId = "",
  projectId?: string,
): UniversalAIChat {
  const thread = `unstored ${conversationId}`;
  const [chat, setChat] = useState(() => begun(client, thread));
  if (chat.client !== client || chat.thread !== thread) setChat(begun(client, thread));
  const { messages, question, isAsking, error } = chat;

  /** Change this chat: what comes for an earlier one is dropped. */
  const change = useCallback(
    (next: (chat: UnstoredChat) => Partial<UnstoredChat>) =>
      setChat((now) =>
        now.client === client && now.thread === thread ? { ...now, ...next(now) } : now,
      ),
    [client, thread],
  );
  const ask = useCallback(
    async ({ request, metadata }: Question) => {
      change(() => ({ isAsking: true, error: null }));
      try {
        if (!client) throw signedOut();
        const { message } = await client.endpoints.ask({
          request,
          persistMessages: false,
          ...(projectId && { projectId }),
          ...(metadata && { metadata }),
        });
        change((now) => ({ isAsking: false, messages: added(now, "assistant", message) }));
      } catch (failure) {
        const error = await chatErrorFrom(failure);
        change(() => ({ isAsking: false, error }));
      }
    },
    [client, projectId, change],
  );
  const send = useCallback(
    async (request: string, metadata?: Record<string, unknown>) => {
      const question = { request, metadata };
      change((now) => ({ question, messages: added(now, "user", { content: request }) }));
      await ask(question);
    },
    [ask, change],
  );
  const reload = useCallback(async () => {
    if (question) await ask(question);
  }, [question, ask]);

  return useMemo(
    () => ({
      thread,
      conversationId: null,
      conversation: null,
      messages,
      siblings: {},
      pending: [],
      turn: null,
      status: isAsking ? "thinking" : "ready",
      connection: "live",
      error,
      hasOlder: false,
      hasNewer: false,
      isLoadingOlder: false,
      send,
      edit: nothing,
      regenerate: nothing,
      show: nothing,
      stop: nothing,
      retry: nothing,
      discard: nothing,
      reload,
      loadOlder: nothing,
      loadNewer: nothing,
      loadNewest: nothing,
      loadAround: nothing,
    }),
    [thread, messages, isAsking, error, send, reload],
  );
}

function added({ messages }: UnstoredChat, role: Role, row: Partial<MessageRow>): MessageRow[] {
  return [...messages, { ...EMPTY_ROW, ...row, ...named(role, messages.length + 1) }];
}

function named(role: Role, seq: number) {
  return { id: `unstored ${seq}`, role, seq, created_at: new Date().toISOString() };
}
