/** A chat that shows the messages the database holds. Everything it knows comes from the hook. */

import { useCallback, useState } from "react";
import type { ChatClient } from "../core/client";
import { useUniversalAIChat } from "../hook/useUniversalAIChat";
import { Composer } from "./Composer";
import { MessageList } from "./MessageList";
import { Notice } from "./Notice";
import { StatusLine } from "./StatusLine";
import { Welcome } from "./Welcome";

export interface UniversalChatInterfaceProps {
  client: ChatClient;
  conversationId?: string;
  projectId?: string;
  persistMessages?: boolean;
  /** A message to open the conversation at, such as a hit of a search. */
  focusMessageId?: string;
  onConversation?: (conversationId: string) => void;
}

export function UniversalChatInterface({
  client,
  conversationId,
  projectId,
  persistMessages = true,
  focusMessageId,
  onConversation,
}: UniversalChatInterfaceProps) {
  const chat = useUniversalAIChat({
    client,
    conversationId,
    projectId,
    persistMessages,
    onConversation,
  });
  const [sent, setSent] = useState(0);
  const send = useCallback(
    (text: string) => chat.send(text).then(() => setSent((count) => count + 1)),
    [chat.send],
  );
  const isEmpty = chat.messages.length + chat.pending.length === 0 && chat.status === "ready";

  return (
    <section className="chat" aria-label="Conversation">
      {isEmpty && !chat.error ? (
        <Welcome onPick={send} />
      ) : (
        <MessageList chat={chat} focusMessageId={focusMessageId} sent={sent} />
      )}
      <div className="chat-foot">
        <Notice chat={chat} />
        <StatusLine key={chat.thread} chat={chat} />
        <Composer key={chat.thread} isBusy={chat.turn !== null} onSend={send} onStop={chat.stop} />
      </div>
    </section>
  );
}
