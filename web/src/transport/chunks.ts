/** The chunks of an answer that may have to be sent more than once. */

import type { UIMessageChunk } from "ai";

const PASSING = new Set([408, 409, 425, 429, 500, 502, 503, 504]);

/** Whether a failure may pass: the network's, or the server's that says so. */
export function isPassing(error: unknown): boolean {
  if (error instanceof TypeError) return true;
  const status = (error as { statusCode?: number } | null)?.statusCode;
  return status !== undefined && PASSING.has(status);
}

/** Whether nothing comes after a chunk. */
export function isLast({ type }: UIMessageChunk): boolean {
  return type === "finish" || type === "error" || type === "abort";
}

/** Shows an answer: one that begins once more takes the place of what was shown. */
export class Rewriting {
  private hasBegun = false;
  private isRepeated = false;
  private isAtStart = true;

  constructor(private readonly show: (chunk: UIMessageChunk) => void) {}

  /** The next chunks are those of an answer from its start on. */
  begin(): void {
    this.isRepeated = this.hasBegun;
    this.isAtStart = true;
  }

  take(chunk: UIMessageChunk): void {
    const isStart = chunk.type === "start";
    // A reply that goes on with an earlier one begins with a step, which is shown already.
    const isShown = this.isRepeated && this.isAtStart && chunk.type === "start-step";
    this.isAtStart = isStart;
    if (isStart && this.isRepeated) this.show({ type: "reset-step" });
    else if (!isShown) this.show(chunk);
    this.hasBegun = true;
  }
}
