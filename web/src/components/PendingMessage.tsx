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
  if (entry.state === "failed") {
    return (
      <span className="uci-bad">
        <ExclamationTriangleIcon aria-hidden /> {reason ?? texts.failed}
      </span>
    );
  }
  if (entry.state === "queued" || connection === "offline") {
    return (
      <span>
        <ClockIcon aria-hidden /> {texts.queued}
      </span>
    );
  }
  if (entry.nextAt) {
    return (
      <span>
        <ClockIcon aria-hidden /> {reason}{" "}
        {texts.sentAgainAt(timeOf(new Date(entry.nextAt).toISOString()))}
      </span>
    );
  }
  return (
    <span>
      <UploadIcon aria-hidden /> {entry.error ? texts.sendingAgain : texts.sendingNow}
    </span>
  );
}
