/** The title of the conversation that is open. */

import type { ChatClient } from "../core/client";
import { ExportMenu } from "./ExportMenu";
import { useConversationRow } from "./queries";
import { useTitle } from "./title";

interface ChatHeaderProps {
  client: ChatClient;
  id?: string;
}

export function ChatHeader({ client, id }: ChatHeaderProps) {
  const { data } = useConversationRow(client, id);
  const title = id ? (data?.title ?? "") : "New conversation";
  useTitle(title || "Conversation");
  return (
    <header className="chat-header">
      <h1 dir="auto">{title}</h1>
      {data?.archived_at && <span className="badge">archived</span>}
      {id && <ExportMenu key={id} client={client} id={id} />}
    </header>
  );
}
