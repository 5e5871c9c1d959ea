/** What the reader should know: no network, no live updates, or that loading has failed. */

import type { UniversalAIChat } from "../hook/chat";

export function Notice({ chat }: { chat: UniversalAIChat }) {
  if (chat.connection === "offline") {
    return (
      <p className="uci-notice" role="status">
        You are offline. What you write is kept in this browser and sent when the network is back.
      </p>
    );
  }
  if (chat.error) {
    return (
      <p className="uci-notice uci-notice-bad" role="alert">
        {chat.error.message}{" "}
        <button type="button" className="uci-link" onClick={() => void chat.reload()}>
          Try again
        </button>
      </p>
    );
  }
  return null;
}
