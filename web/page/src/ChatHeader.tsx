/** The title of the conversation that is open. */

import {
  type ChatClient,
  TEXTS,
  titleOf,
  useConversation,
  useSnapshot,
} from "message-persistence-web";
import { ExportMenu } from "./ExportMenu";
import { useTitle } from "./title";

interface ChatHeaderProps {
  client: ChatClient;
  id?: string;
}

export function ChatHeader({ client, id }: ChatHeaderProps) {
  const { conversation } = useSnapshot(useConversation(client, id ?? null));
  const title = id ? conversation && titleOf(conversation, TEXTS) : "New conversation";
  useTitle(title || "Conversation");
  return (
    <header className="chat-header">
      <h1 dir="auto">{title}</h1>
      {conversation?.archived_at && <span className="badge">archived</span>}
      {id && <ExportMenu key={id} client={client} id={id} />}
    </header>
  );
}
