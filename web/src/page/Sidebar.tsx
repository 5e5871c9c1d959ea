/** The conversations: newest first, found, begun, left. */

import { ArchiveIcon, PlusIcon } from "@radix-ui/react-icons";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import type { ChatClient } from "../core/client";
import { AccountMenu } from "./AccountMenu";
import { ConversationItem } from "./ConversationItem";
import { useConversations } from "./queries";
import { SearchResults } from "./SearchResults";
import { ThemeButton } from "./ThemeButton";

interface SidebarProps {
  client: ChatClient;
  email: string;
  onNavigate: () => void;
}

export function Sidebar({ client, email, onNavigate }: SidebarProps) {
  const [showsArchived, setShowsArchived] = useState(false);
  const [typed, setTyped] = useState("");
  const q = useSettledText(typed.trim());
  return (
    <aside className="sidebar" aria-label="Conversations">
      <div className="sidebar-head">
        <Link href="/" className="button new" onClick={onNavigate}>
          <PlusIcon aria-hidden /> New conversation
        </Link>
        <input
          type="search"
          value={typed}
          maxLength={1000}
          placeholder="Search messages"
          aria-label="Search messages"
          onChange={(event) => setTyped(event.target.value)}
        />
      </div>
      {q ? (
        <SearchResults client={client} q={q} onNavigate={onNavigate} />
      ) : (
        <ConversationNav
          key={String(showsArchived)}
          client={client}
          archived={showsArchived}
          onNavigate={onNavigate}
        />
      )}
      <footer className="sidebar-foot">
        <div className="sidebar-row">
          <button
            type="button"
            className="row"
            aria-pressed={showsArchived}
            onClick={() => setShowsArchived(!showsArchived)}
          >
            <ArchiveIcon aria-hidden /> {showsArchived ? "Back from the archive" : "Archive"}
          </button>
          <ThemeButton />
        </div>
        <AccountMenu client={client} email={email} onNavigate={onNavigate} />
      </footer>
    </aside>
  );
}

const PAUSE = 250; // milliseconds without a key before a search begins

function useSettledText(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), text ? PAUSE : 0);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

interface ConversationNavProps {
  client: ChatClient;
  archived: boolean;
  onNavigate: () => void;
}

function ConversationNav({ client, archived, onNavigate }: ConversationNavProps) {
  const { rows, error, isBusy, hasMore, reload, loadMore } = useConversations(client, archived);
  const [location] = useLocation();
  if (isBusy && rows.length === 0)
    return <nav className="conversations" aria-busy="true" aria-label="Loading" />;
  if (error && rows.length === 0) {
    return (
      <p className="hint" role="alert">
        {error.message}{" "}
        <button type="button" className="uci-link" onClick={reload}>
          Try again
        </button>
      </p>
    );
  }
  if (rows.length === 0) {
    return <p className="hint">{archived ? "The archive is empty." : "No conversations yet."}</p>;
  }
  return (
    <nav
      className="conversations"
      aria-label={archived ? "Archived conversations" : "Conversations"}
    >
      <ul>
        {rows.map((row) => (
          <ConversationItem
            key={row.id}
            row={row}
            client={client}
            isCurrent={location.startsWith(`/c/${row.id}`)}
            onNavigate={onNavigate}
          />
        ))}
      </ul>
      {hasMore && (
        <button type="button" className="row" disabled={isBusy} onClick={loadMore}>
          {isBusy ? "Loading" : "Show more"}
        </button>
      )}
    </nav>
  );
}
