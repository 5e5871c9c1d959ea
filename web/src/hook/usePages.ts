/** What a function gives out page by page, as React state. */

import { useEffect, useRef, useState } from "react";
import { type ChatError, chatErrorFrom } from "../core/errors.js";
import { retrying } from "../core/waiting.js";

interface Page {
  nextCursor: string | null;
}

export interface Pages<P> {
  /** What was read last; where the key has changed, that of the key before until the next comes. */
  pages: P[];
  error: ChatError | null;
  isBusy: boolean;
  hasMore: boolean;
  /** Read again all that is shown. */
  reload(): void;
  loadMore(): void;
}

/** Read the first page when the key changes, and more of them when asked to. */
export function usePages<P extends Page>(
  key: string,
  ask: (cursor?: string) => Promise<P>,
): Pages<P> {
  const [pages, setPages] = useState<P[]>([]);
  const [error, setError] = useState<ChatError | null>(null);
  const [isBusy, setBusy] = useState(true);
  const running = useRef(new AbortController());
  const wanted = useRef(1); // pages

  async function read(shown: P[]): Promise<void> {
    running.current.abort();
    running.current = new AbortController();
    const { signal } = running.current;
    setBusy(true);
    try {
      const next = await readPages(shown, wanted.current, ask, signal);
      if (signal.aborted) return;
      setPages(next);
      setError(null);
    } catch (failure) {
      const reason = await chatErrorFrom(failure);
      if (signal.aborted) return;
      setError(reason);
    }
    setBusy(false);
  }

  useEffect(() => {
    wanted.current = 1;
    setError(null);
    void read([]);
    return () => running.current.abort();
  }, [key]);

  return {
    pages,
    error,
    isBusy,
    hasMore: Boolean(pages.at(-1)?.nextCursor),
    reload: () => void read([]),
    loadMore: () => {
      wanted.current = pages.length + 1;
      void read(pages);
    },
  };
}

/** Read so many pages, those that are known left aside. */
async function readPages<P extends Page>(
  known: P[],
  wanted: number,
  ask: (cursor?: string) => Promise<P>,
  signal: AbortSignal,
): Promise<P[]> {
  const pages = [...known];
  while (pages.length < wanted && !signal.aborted) {
    const cursor = pages.at(-1)?.nextCursor;
    if (pages.length > 0 && !cursor) break;
    pages.push(await retrying(() => ask(cursor ?? undefined), signal));
  }
  return pages;
}
