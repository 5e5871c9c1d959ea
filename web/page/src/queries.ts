/** What the page asks the functions. */

import { type ChatClient, type ChatError, usePages } from "message-persistence-web";

export function useSearch(client: ChatClient, q: string) {
  return usePages(q, (cursor) => client.endpoints.search(q, true, cursor));
}

export function useAnalytics(client: ChatClient, days: number) {
  const { pages, ...rest } = usePages(String(days), async () => {
    const to = new Date();
    to.setHours(24, 0, 0, 0);
    const from = new Date(to);
    from.setDate(from.getDate() - days);
    const range = {
      from: from.toISOString(),
      to: to.toISOString(),
      bucket: days > 90 ? "week" : "day",
    };
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    const analytics = await client.endpoints
      .analytics({ ...range, timeZone })
      .catch((error: ChatError) => {
        if (error.status !== 400) throw error;
        return client.endpoints.analytics({ ...range, timeZone: hoursFromUtc() });
      });
    return { analytics, nextCursor: null };
  });
  return { ...rest, data: pages[0]?.analytics };
}

/** The zone that is as far from UTC as this one is now, where this one has no name elsewhere. */
function hoursFromUtc(): string {
  const hours = new Date().getTimezoneOffset() / 60; // those of the west count up, as in the names
  if (hours === 0 || !Number.isInteger(hours)) return "UTC";
  return `Etc/GMT${hours > 0 ? "+" : ""}${hours}`;
}
