/** A chat that shows the messages the database holds. Everything it knows comes from the hook. */

import { useCallback, useState } from "react";
import type { UniversalAIChat, UniversalAIChatOptions } from "../hook/chat";
import { useUniversalAIChat } from "../hook/useUniversalAIChat";
import { Composer } from "./Composer";
import { MessageList } from "./MessageList";
import { Notice } from "./Notice";
import { StatusLine } from "./StatusLine";
import { Welcome } from "./Welcome";

export interface UniversalChatInterfaceProps extends UniversalAIChatOptions {
  /** A message to open the conversation at, such as a hit of a search. */
  focusMessageId?: string;
}

export function UniversalChatInterface({
  focusMessageId,
  ...options
}: UniversalChatInterfaceProps) {
  const chat = useUniversalAIChat(options);
  // Nothing of one conversation is left in the next: all of the view is made for a thread.
  return <ChatView key={chat.thread} chat={chat} focusMessageId={focusMessageId} />;
}

function ChatView({ chat, focusMessageId }: { chat: UniversalAIChat; focusMessageId?: string }) {
  const [sent, setSent] = useState(0);
  const send = useCallback(
    (text: string) => chat.send(text).then(() => setSent((count) => count + 1)),
    [chat.send],
  );
  const isEmpty = chat.messages.length + chat.pending.length === 0 && chat.status === "ready";
  return (
    <section className="uci" aria-label="Conversation">
      {isEmpty && !chat.error ? (
        <Welcome onPick={send} />
      ) : (
        <MessageList chat={chat} focusMessageId={focusMessageId} sent={sent} />
      )}
      <div className="uci-foot">
        <Notice chat={chat} />
        <StatusLine chat={chat} />
        <Composer isBusy={chat.turn !== null} onSend={send} onStop={chat.stop} />
      </div>
    </section>
  );
}
