/** Somebody else's app, with the specification's own lines in it. */

import { createClient } from "@supabase/supabase-js";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import {
  ChatProvider,
  ConversationList,
  UniversalChatInterface,
  useUniversalAIChat,
} from "message-persistence-web";
import "message-persistence-web/styles.css";
import "./host.css";

const id = new URLSearchParams(location.search).get("id") ?? undefined;
const TEXTS = { writeMessage: "Schreib etwas", examples: ["Hallo"], ai: "KI" };

function Stored() {
  return (
    <div>
      <ConversationList selectedId={id} />
      <UniversalChatInterface conversationId={id} projectId={id} />
    </div>
  );
}

function Unstored() {
  const chat = useUniversalAIChat({ persistMessages: false });
  return (
    <aside>
      <button type="button" onClick={() => void chat.send("Kept nowhere")}>
        Ask
      </button>
      <ol>
        {chat.messages.map((message) => (
          <li key={message.id}>{message.role}</li>
        ))}
      </ol>
    </aside>
  );
}

const config = await (await fetch("/config.json")).json();
const supabase = createClient(location.origin, config.publishableKey);
Object.assign(window, { supabase });
createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <ChatProvider supabase={supabase} texts={TEXTS}>
      <Stored />
      <Unstored />
    </ChatProvider>
  </StrictMode>,
);
