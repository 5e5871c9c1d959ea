/** Moments in the reader's own words and zone. */

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  year: "numeric",
});

/** The time of a moment, with its day unless that is today. */
export function timeOf(moment: string, now = new Date()): string {
  const date = new Date(moment);
  if (date.toDateString() === now.toDateString()) return clock.format(date);
  const days = date.getFullYear() === now.getFullYear() ? day : dayOfYear;
  return `${days.format(date)}, ${clock.format(date)}`;
}
