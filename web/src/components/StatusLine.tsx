/** What is going on, in words: for eyes and for screen readers. */

import type { UniversalAIChat } from "../hook/useUniversalAIChat";

const WORDS = {
  loading: "Loading the conversation",
  sending: "Saving your message",
  thinking: "Thinking",
  generating: "Writing",
  saving: "Saving the reply",
  ready: "",
};

export function StatusLine({ chat }: { chat: UniversalAIChat }) {
  const words = chat.connection === "offline" ? "" : WORDS[chat.status];
  return (
    <p className="status" role="status" data-busy={words !== "" || undefined}>
      {words}
    </p>
  );
}
