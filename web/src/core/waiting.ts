/** Pauses between attempts: growing, spread, and over early when there is a reason to hope. */

import { ChatError } from "./errors.js";

const FIRST = 500;
const LONGEST = 15_000;
const TRIES = 4;

/** Milliseconds before the next attempt, half of them left to chance. */
export function pauseAfter(
  attempts: number,
  retryAfter: number | null = null,
  longest = LONGEST,
): number {
  const most = Math.min(longest, FIRST * 2 ** Math.min(attempts, 10));
  const pause = most / 2 + (Math.random() * most) / 2;
  return Math.max(pause, (retryAfter ?? 0) * 1000);
}

/** Wait so long, or until the network is back, or until aborted. */
export function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    globalThis.addEventListener?.("online", end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

/** Wait until the browser says that there is a network. */
export async function untilOnline(signal: AbortSignal): Promise<void> {
  while (globalThis.navigator?.onLine === false && !signal.aborted) await wait(60_000, signal);
}

/** Ask up to four times, as long as what stands in the way may pass. */
export async function retrying<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await ask();
    } catch (error) {
      const isPassing = error instanceof ChatError && error.isPassing;
      if (!isPassing || attempts === TRIES || signal.aborted) throw error;
      await wait(pauseAfter(attempts, error.retryAfter), signal);
    }
  }
}
