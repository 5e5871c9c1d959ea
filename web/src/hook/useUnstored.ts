/** A chat that is kept nowhere: for `persistMessages={false}`. Gone with the page. */

import { useCallback, useMemo, useState } from "react";
import type { ChatClient } from "../core/client";
import { type ChatError, chatErrorFrom } from "../core/errors";
import type { MessageRow, Role } from "../core/types";
import type { UniversalAIChat } from "./useUniversalAIChat";

const nothing = async () => undefined;

export function useUnstored(client: ChatClient, projectId?: string): UniversalAIChat {
  const [messages, setMessages] = useState<MessageRow[]>([]);
  const [isAsking, setAsking] = useState(false);
  const [error, setError] = useState<ChatError | null>(null);

  const send = useCallback(
    async (request: string, metadata?: Record<string, unknown>) => {
      const add = (role: Role, row: Partial<MessageRow>) =>
        setMessages((rows) => [...rows, { ...EMPTY_ROW, ...row, ...named(role, rows.length + 1) }]);
      setError(null);
      setAsking(true);
      add("user", { content: request });
      try {
        const answer = await client.endpoints.ask({
          request,
          persistMessages: false,
          ...(projectId && { projectId }),
          ...(metadata && { metadata }),
        });
        add("assistant", answer.message);
      } catch (failure) {
        setError(await chatErrorFrom(failure));
      } finally {
        setAsking(false);
      }
    },
    [client, projectId],
  );

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
      reload: nothing,
      loadOlder: nothing,
      loadNewer: nothing,
      loadNewest: nothing,
      loadAround: nothing,
    }),
    [messages, isAsking, error, send],
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

function named(role: Role, seq: number) {
  return { id: `unstored ${seq}`, role, seq, created_at: new Date().toISOString() };
}
