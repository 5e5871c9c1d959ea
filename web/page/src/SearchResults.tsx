/** What a search has found; each hit opens its place. */

import { type ChatClient, type SearchHit, TEXTS, timeOf, titleOf } from "message-persistence-web";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { useSearch } from "./queries";

const UNFINISHED = "Not all that was stored lately could be searched yet; try again soon.";

interface SearchResultsProps {
  client: ChatClient;
  q: string;
  onNavigate: () => void;
}

export function SearchResults({ client, q, onNavigate }: SearchResultsProps) {
  const { pages, error, isBusy, hasMore, loadMore } = useSearch(client, q);
  const hits = pages.flatMap((page) => page.hits);
  if (error) {
    return (
      <p className="uci-hint" role="alert">
        {error.message}
      </p>
    );
  }
  if (hits.length === 0 && isBusy)
    return (
      <p className="uci-hint" role="status">
        Searching
      </p>
    );
  if (hits.length === 0)
    return (
      <p className="uci-hint" role="status">
        {pages[0]?.incomplete ? UNFINISHED : `Nothing found for “${q}”.`}
      </p>
    );
  return (
    <nav className="uci-conversations hits" aria-label="Search results" aria-busy={isBusy}>
      {pages[0]?.incomplete && <p className="uci-hint">{UNFINISHED}</p>}
      {pages[0]?.parts && <p className="uci-hint">No such word; these hold it as a part.</p>}
      <ul>
        {hits.map((hit) => (
          <li key={hit.messageId}>
            <Link href={`/c/${hit.conversationId}/${hit.messageId}`} onClick={onNavigate}>
              <strong dir="auto">{titleOf(hit, TEXTS)}</strong>
              <span dir="auto">{marked(hit)}</span>
              <small>
                {hit.role === "user" ? "You" : "AI"}, {timeOf(hit.createdAt)}
                {hit.archivedAt && ", archived"}
              </small>
            </Link>
          </li>
        ))}
      </ul>
      {hasMore && (
        <button type="button" className="uci-row" disabled={isBusy} onClick={loadMore}>
          {isBusy ? "Loading" : "Show more"}
        </button>
      )}
    </nav>
  );
}

/** A snippet with its hits marked. Offsets count code points, so the text is cut as such. */
function marked({ snippet }: SearchHit): ReactNode[] {
  const text = Array.from(snippet.text);
  const parts: ReactNode[] = snippet.hasBefore ? ["… "] : [];
  let end = 0;
  for (const mark of snippet.marks) {
    parts.push(text.slice(end, mark.start).join(""));
    parts.push(<mark key={mark.start}>{text.slice(mark.start, mark.end).join("")}</mark>);
    end = mark.end;
  }
  parts.push(text.slice(end).join(""), snippet.hasAfter ? " …" : "");
  return parts;
}
