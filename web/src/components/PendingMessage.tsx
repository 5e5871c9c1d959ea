/** A message on its way: where it is, and what can be done about it. */

import { ClockIcon, ExclamationTriangleIcon, UploadIcon } from "@radix-ui/react-icons";
import type { OutboxEntry } from "../core/types";
import type { UniversalAIChat } from "../hook/chat";
import { timeOf } from "./time";

interface PendingMessageProps {
  entry: OutboxEntry;
  chat: UniversalAIChat;
}

export function PendingMessage({ entry, chat }: PendingMessageProps) {
  const hasFailed = entry.state === "failed";
  return (
    <article className="uci-message uci-message-user uci-message-pending" data-state={entry.state}>
      <h3 className="uci-visually-hidden">You, not stored yet</h3>
      <div className="uci-message-body" dir="auto">
        <p className="uci-plain">{entry.body.request.slice(0, 60_000)}</p>
      </div>
      <footer className="uci-message-foot">
        <StateLine entry={entry} connection={chat.connection} />
        {hasFailed && (
          <button type="button" className="uci-link" onClick={() => void chat.retry(entry.key)}>
            Try again
          </button>
        )}
        {(hasFailed || entry.nextAt) && (
          <button type="button" className="uci-link" onClick={() => void chat.discard(entry.key)}>
            Discard
          </button>
        )}
      </footer>
    </article>
  );
}

function StateLine({ entry, connection }: { entry: OutboxEntry; connection: string }) {
  if (entry.state === "failed") {
    return (
      <span className="uci-bad">
        <ExclamationTriangleIcon aria-hidden /> {entry.error?.message ?? "Could not be sent."}
      </span>
    );
  }
  if (entry.state === "queued" || connection === "offline") {
    return (
      <span>
        <ClockIcon aria-hidden /> Queued: kept in this browser until it is sent
      </span>
    );
  }
  if (entry.nextAt) {
    return (
      <span>
        <ClockIcon aria-hidden /> {entry.error?.message} Sent again at{" "}
        {timeOf(new Date(entry.nextAt).toISOString())}
      </span>
    );
  }
  return (
    <span>
      <UploadIcon aria-hidden /> {entry.error ? "Trying again" : "Sending"}
    </span>
  );
}
