/** A chat that shows the messages the database holds. Everything it knows comes from the hook. */

import { useCallback, useRef, useState } from "react";
import type { UniversalAIChat, UniversalAIChatOptions } from "../hook/chat.js";
import { useChatContext } from "../hook/context.js";
import type { UnsentTexts } from "../core/unsent.js";
import { useUniversalAIChat } from "../hook/useUniversalAIChat.js";
import { Composer } from "./Composer.js";
import { MessageList } from "./MessageList.js";
import { Notice } from "./Notice.js";
import { StatusLine } from "./StatusLine.js";
import { Welcome } from "./Welcome.js";
import { useTexts } from "./texts.js";

export interface UniversalChatInterfaceProps extends UniversalAIChatOptions {
  /** A message to open the conversation at, such as a hit of a search. */
  focusMessageId?: string;
}

export function UniversalChatInterface({
  focusMessageId,
  ...options
}: UniversalChatInterfaceProps) {
  const { client } = useChatContext();
  const chat = useUniversalAIChat(options);
  // Nothing of one conversation is left in the next, nor of one user: all of the view is theirs.
  const unsent = options.persistMessages === false ? null : (client?.unsent ?? null);
  return (
    <ChatView
      key={`${client?.userId} ${chat.thread}`}
      chat={chat}
      unsent={unsent}
      focusMessageId={focusMessageId}
    />
  );
}

interface ChatViewProps {
  chat: UniversalAIChat;
  unsent: UnsentTexts | null;
  focusMessageId?: string;
}

function ChatView({ chat, unsent, focusMessageId }: ChatViewProps) {
  const texts = useTexts();
  const [sent, setSent] = useState(0);
  const onSent = useCallback(() => setSent((count) => count + 1), []);
  const send = useCallback((text: string) => chat.send(text).then(onSent), [chat.send, onSent]);
  const goOn = useCallback(() => void send(texts.goOnRequest), [send, texts]);
  const isEmpty = chat.messages.length + chat.pending.length === 0 && chat.status === "ready";
  return (
    <section className="uci" aria-label={texts.conversation}>
      {isEmpty && !chat.error ? (
        <Welcome onPick={send} />
      ) : (
        <MessageList
          chat={chat}
          focusMessageId={focusMessageId}
          sent={sent}
          onContinue={goOn}
          onSent={onSent}
        />
      )}
      <div className="uci-foot">
        <Notice chat={chat} />
        <StatusLine chat={chat} />
        <Composer
          isBusy={chat.turn !== null}
          {...useUnsent(unsent, chat.conversationId ?? "new")}
          onSend={send}
          onStop={chat.stop}
        />
      </div>
    </section>
  );
}

/** The text that is typed in a place. A new conversation's goes with it once it has its id. */
function useUnsent(unsent: UnsentTexts | null, place: string) {
  const [initial] = useState(() => unsent?.read(place) ?? "");
  const last = useRef(place);
  const onType = useCallback(
    (text: string) => {
      if (last.current !== place) unsent?.write(last.current, "");
      last.current = place;
      unsent?.write(place, text);
    },
    [unsent, place],
  );
  return { initial, onType };
}
