/** The chunks of an answer that may have to be sent more than once. */

import type { UIMessageChunk } from "ai";

/** What every attempt at a reply may begin with. */
const FIRST = new Set(["start", "start-step", "finish-step"]);
const PASSING = new Set([408, 409, 425, 429, 500, 502, 503, 504]);

/** Whether a failure may pass: the network's, or the server's that says so. */
export function isPassing(error: unknown): boolean {
  if (error instanceof TypeError) return true;
  const status = (error as { statusCode?: number } | null)?.statusCode;
  return status !== undefined && PASSING.has(status);
}

/**
 * Shows an answer once, however often it comes from its start on: of what is shown already nothing
 * is shown again. Another attempt at the reply takes the place of what the one before had written.
 */
export class Rewriting {
  /** The answer came to its end. */
  isOver = false;
  private attempt: number | undefined;
  private isOfReply = false; // since `message-metadata`, which comes before a failed reply's error
  /** What is shown: whole chunks by how often, texts that grow by their ids. */
  private readonly shown = new Map<string, number>();
  private readonly texts = new Map<string, string>();
  /** How much of that has come again. */
  private readonly again = new Map<string, number>();
  private readonly lengths = new Map<string, number>();
  private isBegun = false; // beyond what every attempt begins with
  private hasSteps = false;

  constructor(private readonly show: (chunk: UIMessageChunk) => void) {}

  /** The next chunks are those of an answer from its start on. */
  begin(): void {
    this.again.clear();
    this.lengths.clear();
  }

  /** Take a chunk; return false where the answer breaks off with it. */
  take(chunk: UIMessageChunk): boolean {
    const { type } = chunk;
    if (type === "error" && !this.isOfReply) return false;
    this.isOfReply ||= type === "message-metadata";
    this.isOver ||= type === "finish" || type === "error" || type === "abort";
    if (isStatus(chunk)) this.takeStatus(chunk);
    else if (type === "text-delta" || type === "reasoning-delta") this.grow(chunk);
    else if (type === "reset-step") this.startOver();
    else if (this.isNew(JSON.stringify(chunk))) this.showWhole(chunk);
    return true;
  }

  private takeStatus(chunk: StatusChunk): void {
    const { attempt = this.attempt } = chunk.data;
    if (this.attempt !== undefined && attempt !== this.attempt && this.isBegun) this.startOver();
    this.attempt = attempt;
    this.show(chunk);
  }

  private grow(chunk: GrowingChunk): void {
    const shown = this.texts.get(chunk.id) ?? "";
    const from = this.lengths.get(chunk.id) ?? 0;
    const delta = chunk.delta.slice(Math.max(shown.length - from, 0));
    this.lengths.set(chunk.id, from + chunk.delta.length);
    if (!delta) return;
    this.texts.set(chunk.id, shown + delta);
    this.show({ ...chunk, delta });
  }

  private isNew(chunk: string): boolean {
    const times = (this.again.get(chunk) ?? 0) + 1;
    this.again.set(chunk, times);
    if (times <= (this.shown.get(chunk) ?? 0)) return false;
    this.shown.set(chunk, times);
    return true;
  }

  private showWhole(chunk: UIMessageChunk): void {
    // A reply that goes on with an earlier one begins with a step, whichever attempt it is.
    this.hasSteps ||= chunk.type === "start-step" && this.isBegun;
    this.isBegun ||= !FIRST.has(chunk.type);
    this.show(chunk);
  }

  private startOver(): void {
    // The protocol can take a step back and no more.
    if (this.hasSteps) throw new Error("The reply has begun once more: load the chat again.");
    for (const chunk of this.shown.keys()) {
      if (!FIRST.has(JSON.parse(chunk).type)) this.shown.delete(chunk);
    }
    this.texts.clear();
    this.lengths.clear();
    this.isBegun = false;
    this.show({ type: "reset-step" });
  }
}

type GrowingChunk = Extract<UIMessageChunk, { type: "text-delta" | "reasoning-delta" }>;
type StatusChunk = Extract<UIMessageChunk, { type: `data-${string}` }> & {
  data: { attempt?: number };
};

function isStatus(chunk: UIMessageChunk): chunk is StatusChunk {
  return chunk.type === "data-status" && "transient" in chunk && chunk.transient === true;
}
