/** What the reader should know: no network, no live updates, or that loading has failed. */

import type { UniversalAIChat } from "../hook/chat.js";
import { errorText, useTexts } from "./texts.js";

export function Notice({ chat }: { chat: UniversalAIChat }) {
  const texts = useTexts();
  if (chat.connection === "offline") {
    return (
      <p className="uci-notice" role="status">
        {texts.offline}
      </p>
    );
  }
  if (chat.error) {
    return (
      <p className="uci-notice uci-notice-bad" role="alert">
        {errorText(texts, chat.error)}{" "}
        <button type="button" className="uci-link" onClick={() => void chat.reload()}>
          {texts.tryAgain}
        </button>
      </p>
    );
  }
  return null;
}
