/** A message on its way: where it is, and what can be done about it. */

import { ClockIcon, ExclamationTriangleIcon, UploadIcon } from "@radix-ui/react-icons";
import { firstPart } from "../core/text.js";
import type { OutboxEntry } from "../core/types.js";
import type { UniversalAIChat } from "../hook/chat.js";
import { timeOf } from "./time.js";
import { errorText, useTexts } from "./texts.js";

interface PendingMessageProps {
  entry: OutboxEntry;
  chat: UniversalAIChat;
}

export function PendingMessage({ entry, chat }: PendingMessageProps) {
  const texts = useTexts();
  const hasFailed = entry.state === "failed";
  return (
    <article className="uci-message uci-message-user uci-message-pending" data-state={entry.state}>
      <h3 className="uci-visually-hidden">
        {entry.body.regenerates ? texts.regenerating : texts.youPending}
      </h3>
      {entry.body.request && (
        <div className="uci-message-body" dir="auto">
          <p className="uci-plain">{firstPart(entry.body.request, 60_000)}</p>
        </div>
      )}
      <footer className="uci-message-foot">
        <StateLine entry={entry} connection={chat.connection} />
        {hasFailed && (
          <button type="button" className="uci-link" onClick={() => void chat.retry(entry.key)}>
            {texts.tryAgain}
          </button>
        )}
        {(hasFailed || entry.nextAt) && (
          <button type="button" className="uci-link" onClick={() => void chat.discard(entry.key)}>
            {texts.discard}
          </button>
        )}
      </footer>
    </article>
  );
}

function StateLine({ entry, connection }: { entry: OutboxEntry; connection: string }) {
  const texts = useTexts();
  const reason = entry.error && errorText(texts, entry.error);
  const [Icon, words] = stateOf();
  return (
    <span className={entry.state === "failed" ? "uci-bad" : undefined}>
      <Icon aria-hidden /> {words}
    </span>
  );

  function stateOf(): [typeof ClockIcon, string] {
    if (entry.state === "failed") return [ExclamationTriangleIcon, reason ?? texts.failed];
    if (entry.state === "queued" || connection === "offline") return [ClockIcon, texts.queued];
    if (entry.nextAt) {
      const again = texts.sentAgainAt(timeOf(new Date(entry.nextAt).toISOString()));
      return [ClockIcon, [reason, again].filter(Boolean).join(" ")];
    }
    return [UploadIcon, entry.error ? texts.sendingAgain : texts.sendingNow];
  }
}
