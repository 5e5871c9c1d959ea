/** What the page asks the functions, as cached queries. */

import {
  keepPreviousData,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import type { ChatClient } from "../core/client";
import type { ConversationRow } from "../core/types";

export const CONVERSATIONS = ["conversations"] as const;

export function useConversations(client: ChatClient, archived: boolean) {
  return useInfiniteQuery({
    queryKey: [...CONVERSATIONS, "list", archived],
    queryFn: ({ pageParam }) => client.endpoints.list({ archived, limit: 50, cursor: pageParam }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.nextCursor ?? undefined,
    select: (data) => unique(data.pages.flatMap((page) => page.conversations)),
    refetchInterval: 60_000,
  });
}

/** A conversation that moved up while pages were read may be on two of them. */
function unique(rows: ConversationRow[]): ConversationRow[] {
  return [...new Map(rows.map((row) => [row.id, row])).values()];
}

export function useConversationRow(client: ChatClient, id: string | undefined) {
  return useQuery({
    queryKey: [...CONVERSATIONS, "one", id],
    queryFn: () =>
      client.endpoints
        .call<{ conversation: ConversationRow }>(`conversations/${id}`, { method: "GET" })
        .then(({ conversation }) => conversation),
    enabled: id !== undefined,
  });
}

/** Rename, archive, restore or delete; the lists are read anew afterwards. */
export function useConversationChanges(client: ChatClient) {
  const queries = useQueryClient();
  const onSettled = () => queries.invalidateQueries({ queryKey: CONVERSATIONS });
  const update = useMutation({
    mutationFn: ({ id, ...change }: { id: string; title?: string; archived?: boolean }) =>
      client.endpoints.update(id, change),
    onSettled,
  });
  const remove = useMutation({
    mutationFn: (id: string) => client.endpoints.remove(id),
    onSettled,
  });
  return { update, remove };
}

export function useSearch(client: ChatClient, q: string) {
  return useInfiniteQuery({
    queryKey: ["search", q],
    queryFn: ({ pageParam }) => client.endpoints.search(q, true, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.nextCursor ?? undefined,
    enabled: q.trim() !== "",
    placeholderData: keepPreviousData,
  });
}

export function useAnalytics(client: ChatClient, days: number) {
  const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return useQuery({
    queryKey: ["analytics", days, timeZone],
    queryFn: () => {
      const to = new Date();
      to.setHours(24, 0, 0, 0);
      const from = new Date(to);
      from.setDate(from.getDate() - days);
      const bucket = days > 90 ? "week" : "day";
      return client.endpoints.analytics({
        from: from.toISOString(),
        to: to.toISOString(),
        bucket,
        timeZone,
      });
    },
    placeholderData: keepPreviousData,
  });
}
