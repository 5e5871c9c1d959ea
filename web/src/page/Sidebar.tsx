/** The conversations: newest first, found, begun, left. */

import { ArchiveIcon, ExitIcon, PlusIcon } from "@radix-ui/react-icons";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import type { ChatClient } from "../core/client";
import { ConversationItem } from "./ConversationItem";
import { useConversations } from "./queries";
import { ThemeButton } from "./ThemeButton";

interface SidebarProps {
  client: ChatClient;
  email: string;
  onNavigate: () => void;
}

export function Sidebar({ client, email, onNavigate }: SidebarProps) {
  const [showsArchived, setShowsArchived] = useState(false);
  return (
    <aside className="sidebar" aria-label="Conversations">
      <Link href="/" className="button new" onClick={onNavigate}>
        <PlusIcon aria-hidden /> New conversation
      </Link>
      <ConversationNav
        key={String(showsArchived)}
        client={client}
        archived={showsArchived}
        onNavigate={onNavigate}
      />
      <footer className="sidebar-foot">
        <button
          type="button"
          className="row"
          aria-pressed={showsArchived}
          onClick={() => setShowsArchived(!showsArchived)}
        >
          <ArchiveIcon aria-hidden /> {showsArchived ? "Back from the archive" : "Archive"}
        </button>
        <div className="account">
          <span title={email}>{email}</span>
          <ThemeButton />
          <button
            type="button"
            className="icon-button"
            aria-label="Sign out"
            title="Sign out"
            onClick={() => void client.supabase.auth.signOut({ scope: "local" })}
          >
            <ExitIcon aria-hidden />
          </button>
        </div>
      </footer>
    </aside>
  );
}

interface ConversationNavProps {
  client: ChatClient;
  archived: boolean;
  onNavigate: () => void;
}

function ConversationNav({ client, archived, onNavigate }: ConversationNavProps) {
  const list = useConversations(client, archived);
  const [location] = useLocation();
  const rows = list.data ?? [];
  if (list.isPending)
    return <nav className="conversations" aria-busy="true" aria-label="Loading" />;
  if (list.isError && rows.length === 0) {
    return (
      <p className="hint" role="alert">
        {list.error.message}{" "}
        <button type="button" className="link" onClick={() => void list.refetch()}>
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
      {list.hasNextPage && (
        <button
          type="button"
          className="row"
          disabled={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          {list.isFetchingNextPage ? "Loading" : "Show more"}
        </button>
      )}
    </nav>
  );
}
