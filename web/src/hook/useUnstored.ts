/** A chat that is kept nowhere: for `persistMessages={false}`. Gone with the page. */

import { useCallback, useMemo, useState } from "react";
import type { ChatClient } from "../core/client";
import { type ChatError, chatErrorFrom } from "../core/errors";
import type { MessageRow, Role } from "../core/types";
import type { UniversalAIChat } from "./useUniversalAIChat";

const nothing = async () => undefined;

interface Asked {
  request: string;
  metadata?: Record<string, unknown>;
}

/** A chat with one client: another one, which is another user's, begins anew. */
interface UnstoredChat {
  client: ChatClient;
  messages: MessageRow[];
  asked: Asked | null;
  isAsking: boolean;
  error: ChatError | null;
}

function begun(client: ChatClient): UnstoredChat {
  return { client, messages: [], asked: null, isAsking: false, error: null };
}

export function useUnstored(client: ChatClient, projectId?: string): UniversalAIChat {
  const [chat, setChat] = useState(() => begun(client));
  if (chat.client !== client) setChat(begun(client));
  const { messages, asked, isAsking, error } = chat;

  /** Change this client's chat: what is answered to an earlier one is dropped. */
  const change = useCallback(
    (next: (chat: UnstoredChat) => Partial<UnstoredChat>) =>
      setChat((now) => (now.client === client ? { ...now, ...next(now) } : now)),
    [client],
  );
  const ask = useCallback(
    async ({ request, metadata }: Asked) => {
      change(() => ({ isAsking: true, error: null }));
      try {
        const answer = await client.endpoints.ask({
          request,
          persistMessages: false,
          ...(projectId && { projectId }),
          ...(metadata && { metadata }),
        });
        change((now) => ({ isAsking: false, messages: added(now, "assistant", answer.message) }));
      } catch (failure) {
        const told = await chatErrorFrom(failure);
        change(() => ({ isAsking: false, error: told }));
      }
    },
    [client, projectId, change],
  );
  const send = useCallback(
    async (request: string, metadata?: Record<string, unknown>) => {
      const told = { request, metadata };
      change((now) => ({ asked: told, messages: added(now, "user", { content: request }) }));
      await ask(told);
    },
    [ask, change],
  );
  const reload = useCallback(async () => {
    if (asked) await ask(asked);
  }, [asked, ask]);

  return useMemo(
    () => ({
      thread: "unstored",
      conversationId: null,
      conversation: null,
      messages,
      pending: [],
      turn: null,
      status: isAsking ? "thinking" : "ready",
      connection: "live",
      error,
      hasOlder: false,
      hasNewer: false,
      isLoadingOlder: false,
      send,
      stop: nothing,
      retry: nothing,
      discard: nothing,
      reload,
      loadOlder: nothing,
      loadNewer: nothing,
      loadNewest: nothing,
      loadAround: nothing,
    }),
    [messages, isAsking, error, send, reload],
  );
}

const EMPTY_ROW = {
  conversation_id: "",
  content: "",
  generated_code: null,
  metadata: {},
  user_id: "",
  is_summary: false,
  turn_id: null,
};

function added({ messages }: UnstoredChat, role: Role, row: Partial<MessageRow>): MessageRow[] {
  return [...messages, { ...EMPTY_ROW, ...row, ...named(role, messages.length + 1) }];
}

function named(role: Role, seq: number) {
  return { id: `unstored ${seq}`, role, seq, created_at: new Date().toISOString() };
}
