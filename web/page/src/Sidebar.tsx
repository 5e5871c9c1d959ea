/** The conversations: newest first, found, begun, left. */

import { ArchiveIcon, PlusIcon } from "@radix-ui/react-icons";
import { type ChatClient, ConversationList } from "message-persistence-web";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { AccountMenu } from "./AccountMenu";
import { ConversationItem } from "./ConversationItem";
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
  const [location] = useLocation();
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
        <ConversationList
          archived={showsArchived}
          renderItem={(row) => (
            <ConversationItem
              key={row.id}
              row={row}
              client={client}
              isCurrent={location.toLowerCase().startsWith(`/c/${row.id}`)}
              onNavigate={onNavigate}
            />
          )}
        />
      )}
      <footer className="sidebar-foot">
        <div className="sidebar-row">
          <button
            type="button"
            className="uci-row"
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
