/** A user's conversations, the newest first. */

import type { ReactNode } from "react";
import type { ChatClient } from "../core/client.js";
import type { ConversationRow } from "../core/types.js";
import { useChatContext } from "../hook/context.js";
import { useConversations } from "../hook/useConversations.js";
import { errorText, titleOf, useTexts } from "./texts.js";

export interface ConversationListProps {
  /** Those that were put into the archive, instead of the others. */
  archived?: boolean;
  selectedId?: string;
  onSelect?: (id: string) => void;
  /** Shows a conversation, as an `li`, in a way of one's own. */
  renderItem?: (row: ConversationRow) => ReactNode;
}

export function ConversationList(props: ConversationListProps) {
  const { client } = useChatContext();
  if (!client) return null;
  return (
    <div className="uci-theme uci-conversation-list">
      <List key={String(props.archived)} client={client} {...props} />
    </div>
  );
}

function List({
  client,
  archived = false,
  selectedId,
  onSelect,
  renderItem,
}: ConversationListProps & { client: ChatClient }) {
  const texts = useTexts();
  const { rows, error, isBusy, hasMore, reload, loadMore } = useConversations(client, archived);
  if (rows.length === 0 && isBusy)
    return <nav className="uci-conversations" aria-busy="true" aria-label={texts.loadingMore} />;
  if (rows.length === 0 && error) {
    return (
      <p className="uci-hint" role="alert">
        {errorText(texts, error)}{" "}
        <button type="button" className="uci-link" onClick={reload}>
          {texts.tryAgain}
        </button>
      </p>
    );
  }
  if (rows.length === 0)
    return <p className="uci-hint">{archived ? texts.emptyArchive : texts.noConversations}</p>;
  return (
    <nav
      className="uci-conversations"
      aria-label={archived ? texts.archivedConversations : texts.conversations}
    >
      <ul>
        {rows.map(
          (row) =>
            renderItem?.(row) ?? (
              <li key={row.id} className="uci-conversation" data-current={isSelected(row)}>
                <button
                  type="button"
                  className="uci-conversation-name"
                  dir="auto"
                  aria-current={isSelected(row)}
                  onClick={() => onSelect?.(row.id)}
                >
                  {titleOf(row, texts)}
                </button>
              </li>
            ),
        )}
      </ul>
      {hasMore && (
        <button type="button" className="uci-row" disabled={isBusy} onClick={loadMore}>
          {isBusy ? texts.loadingMore : texts.more}
        </button>
      )}
    </nav>
  );

  function isSelected({ id }: ConversationRow): true | undefined {
    return id === selectedId || undefined;
  }
}
