/** What is going on, in words: for eyes and for screen readers. How it ended, for the latter. */

import { useState } from "react";
import { failureOf } from "../core/metadata";
import type { UniversalAIChat } from "../hook/chat";

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
  const outcome = useOutcome(chat);
  return (
    <p className="uci-status" role="status" data-busy={words !== "" || undefined}>
      {words || <span className="uci-visually-hidden">{outcome}</span>}
    </p>
  );
}

/** How what was sent or followed here has ended; who sees the page sees it in its messages. */
function useOutcome({ messages, pending, turn }: UniversalAIChat): string {
  const [followed, setFollowed] = useState<string>();
  if (turn && turn.turnId !== followed) setFollowed(turn.turnId);
  const failed = pending.findLast((entry) => entry.state === "failed");
  if (failed) return `Message not sent: ${failed.error?.message ?? "it could not be sent."}`;
  if (turn || !followed) return "";
  const reply = messages.findLast((row) => row.turn_id === followed && row.role === "assistant");
  if (!reply) return "";
  return failureOf(reply.metadata) ? "Reply not complete" : "Reply complete";
}
