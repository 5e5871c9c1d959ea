/**
 * One conversation, open in this tab: loads it, listens to it, follows its turn, keeps its state.
 *
 * Right without Realtime too: then it asks again every now and then, and follows turns as streams.
 */

import type { SupabaseClient } from "@supabase/supabase-js";
import type { Endpoints, LoadPlace } from "./endpoints.js";
import { chatErrorFrom } from "./errors.js";
import { Listeners } from "./listeners.js";
import { listen } from "./live.js";
import { actionsOf } from "./events.js";
import { type Action, type ChatState, newestSeq, oldestSeq, type Part, reduce } from "./state.js";
import { CLOSED, type ConversationSnapshot } from "./snapshot.js";
import type { ConversationRow, LiveEvent, Sibling, StreamEvent } from "./types.js";
import { pauseAfter, retrying, wait } from "./waiting.js";

export const PAGE = 50;
const POLL = 5_000;
/** How long text that is being written may take to come over Realtime, which may not carry it. */
const TEXT_PATIENCE = 3_000;
const POLL_WHILE_LIVE = 60_000;

export class Conversation {
  private snapshot = CLOSED;
  private readonly changes = new Listeners();
  private readonly stopped = new AbortController();
  private leave: (() => void) | null = null;
  private isJoined = false;
  private isCatchingUp = false;
  /** Something may have come since the last load was asked for. */
  private hasMissed = false;
  /** It can't be loaded, and asking again by itself would not change that. */
  private isRefused = false;
  private hasFailedOlder = false;
  /** Turns whose stream this tab reads: what the topic says of them is not needed. */
  private readonly streamed = new Set<string>();

  constructor(
    readonly id: string,
    private readonly client: SupabaseClient,
    private readonly endpoints: Endpoints,
  ) {}

  getSnapshot = (): ConversationSnapshot => this.snapshot;

  subscribe = this.changes.add;

  /** Listen first, then load: nothing can happen in between. */
  open(): void {
    this.leave = listen(this.client, this.id, {
      onEvent: (event) => this.receive(event),
      onJoined: (isJoined) => this.joined(isJoined),
    });
    globalThis.addEventListener?.("online", this.lookAgain);
    globalThis.addEventListener?.("offline", this.showConnection);
    globalThis.document?.addEventListener("visibilitychange", this.lookAgain);
    void this.loadNewest();
    void this.poll();
  }

  close(): void {
    this.stopped.abort();
    this.leave?.();
    globalThis.removeEventListener?.("online", this.lookAgain);
    globalThis.removeEventListener?.("offline", this.showConnection);
    globalThis.document?.removeEventListener("visibilitychange", this.lookAgain);
  }

  /** Take in an event of a stream that this tab reads. */
  take(event: StreamEvent): void {
    if (event.name === "accepted") this.streamed.add(event.data.turnId);
    if (event.name === "done") this.streamed.delete(event.data.turnId);
    this.apply(...actionsOf(event));
  }

  /** A stream broke off: its turn is anybody's again. */
  streamEnded(turnId: string): void {
    this.streamed.delete(turnId);
  }

  /** Stop a turn; what stands in the way is shown. */
  async stop(turnId: string): Promise<void> {
    try {
      await this.endpoints.stop(turnId);
    } catch (error) {
      this.update({ error: await chatErrorFrom(error) });
    }
  }

  change(conversation: ConversationRow): void {
    this.apply({ type: "changed", conversation });
  }

  async loadNewest(): Promise<void> {
    await this.loadVisibly("isLoading", "newest", {});
    if (this.hasMissed) void this.catchUp();
  }

  async loadOlder(): Promise<void> {
    if (!this.snapshot.hasOlder || this.snapshot.isLoadingOlder) return;
    await this.loadVisibly("isLoadingOlder", "older", { before: oldestSeq(this.snapshot) });
  }

  async loadNewer(): Promise<void> {
    await this.load("newer", { after: newestSeq(this.snapshot) }).catch(() => undefined);
  }

  async loadAround(messageId: string): Promise<void> {
    await this.loadVisibly("isLoading", "around", { around: messageId });
    const { isAside, branch } = this.snapshot;
    if (!isAside) return;
    // It is the active one from now on, unless a turn runs on another.
    const row = await this.endpoints.update(this.id, { activeBranch: branch }).catch(() => null);
    if (row) this.change(row);
  }

  /** Show a message of another path; that is the active one from now on, in each tab. */
  async show({ id, branch }: Sibling): Promise<void> {
    this.isCatchingUp = true; // what says that another path is active now is this itself
    try {
      await this.endpoints.update(this.id, { activeBranch: branch });
      await this.load("around", { around: id });
    } catch (error) {
      this.update({ error: await chatErrorFrom(error) });
    }
    this.isCatchingUp = false;
    if (this.hasMissed) void this.catchUp();
  }

  /** A turn has begun beside what is shown here. */
  forked(): void {
    this.apply({ type: "switched" });
  }

  /** Load what came after the newest message here, until there is no more; or the path it is on. */
  async catchUp(): Promise<void> {
    this.hasMissed = true;
    const { isLoaded, hasNewer, isElsewhere } = this.snapshot;
    if (this.isCatchingUp || !isLoaded || (hasNewer && !isElsewhere)) return;
    this.isCatchingUp = true;
    try {
      while (this.isMissingSome() && !this.stopped.signal.aborted) {
        this.hasMissed = false;
        if (this.snapshot.isElsewhere) await this.load("newest", {});
        else await this.load("newer", { after: newestSeq(this.snapshot) });
      }
    } catch (error) {
      const failure = await chatErrorFrom(error);
      this.isRefused = !failure.isPassing;
      // Where it may still go well, the next look catches up.
      if (!failure.isPassing) this.update({ error: failure, turn: null });
    } finally {
      this.isCatchingUp = false;
    }
  }

  private isMissingSome(): boolean {
    const { hasNewer, isElsewhere } = this.snapshot;
    return this.hasMissed || hasNewer || isElsewhere;
  }

  private async load(part: Part, place: LoadPlace): Promise<void> {
    const { signal } = this.stopped;
    const { branch, isAside, conversation } = this.snapshot;
    // What is older is that of the path shown here, whichever is active by now.
    const isOwn = part === "older" ? conversation?.last_branch : part === "newer" && isAside;
    const path = isOwn ? { branch } : {};
    const ask = () => this.endpoints.load(this.id, { limit: PAGE, ...place, ...path });
    const response = await retrying(ask, signal);
    if (signal.aborted) return;
    this.apply({ type: "loaded", part, response, place: place.before ?? place.after });
    // That what is new could be loaded doesn't bring what is old.
    if (part !== "newer" || !this.hasFailedOlder) this.update({ error: null });
    this.isRefused = false;
    const turn = this.snapshot.turn;
    if (turn && response.openTurn && !this.streamed.has(turn.turnId)) void this.follow(turn.turnId);
  }

  /** Load a part that the reader waits for; what stands in the way is shown. */
  private async loadVisibly(
    flag: "isLoading" | "isLoadingOlder",
    part: Part,
    place: LoadPlace,
  ): Promise<void> {
    this.update({ [flag]: true });
    try {
      await this.load(part, place);
    } catch (failure) {
      const error = await chatErrorFrom(failure);
      if (part === "newest") this.isRefused = !error.isPassing;
      this.hasFailedOlder = part === "older";
      this.update({ error });
    } finally {
      this.update({ [flag]: false });
    }
  }

  /** Read a turn's stream to its end, from where this tab's text ends. */
  private async follow(turnId: string): Promise<void> {
    this.streamed.add(turnId);
    const { signal } = this.stopped;
    for (
      let attempts = 0;
      !signal.aborted && this.snapshot.turn?.turnId === turnId;
      attempts += 1
    ) {
      const { attempt, length } = this.snapshot.turn;
      try {
        for await (const event of this.endpoints.follow(turnId, `${attempt}.${length}`, signal)) {
          this.take(event);
        }
      } catch (error) {
        if (!(await chatErrorFrom(error)).isPassing) {
          this.apply({ type: "ended", turnId });
          break;
        }
        await wait(pauseAfter(attempts), signal);
      }
    }
    this.streamed.delete(turnId);
    void this.catchUp();
  }

  private receive({ event, payload }: LiveEvent): void {
    if (event === "branch") {
      this.apply({ type: "switched", branch: payload.activeBranch });
    } else if (event === "message") {
      if (payload.row) this.apply({ type: "stored", message: payload.row });
      else this.apply({ type: "announced", seq: payload.seq });
    } else if (!this.streamed.has(payload.turnId)) {
      this.apply({ type: event, ...payload } as Action);
      if (event === "status" && payload.status === "generating")
        void this.expectText(payload.turnId);
    }
    if (this.snapshot.turn?.hasGap && !this.streamed.has(this.snapshot.turn.turnId)) {
      void this.follow(this.snapshot.turn.turnId);
    }
  }

  /** Follow a turn whose text doesn't come: Realtime's limit or a setting keeps it back. */
  private async expectText(turnId: string): Promise<void> {
    const { signal } = this.stopped;
    await wait(TEXT_PATIENCE, signal);
    const turn = this.snapshot.turn;
    const isSilent = turn?.turnId === turnId && !turn.length && !this.streamed.has(turnId);
    if (isSilent && !signal.aborted) await this.follow(turnId);
  }

  private joined(isJoined: boolean): void {
    this.isJoined = isJoined;
    this.showConnection();
    if (isJoined) void this.catchUp();
  }

  private lookAgain = (): void => {
    this.showConnection();
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.snapshot.isLoaded) void this.catchUp();
    else if (!this.snapshot.isLoading) void this.loadNewest();
  };

  private showConnection = (): void => {
    const isOffline = globalThis.navigator?.onLine === false;
    const connection = isOffline ? "offline" : this.isJoined ? "live" : "polling";
    if (connection !== this.snapshot.connection) this.update({ connection });
  };

  private async poll(): Promise<void> {
    const { signal } = this.stopped;
    for (let waited = POLL; !signal.aborted; waited += POLL) {
      await wait(POLL, signal);
      if (signal.aborted || (this.isJoined && waited < POLL_WHILE_LIVE)) continue;
      waited = 0;
      if (!this.isRefused) this.lookAgain();
    }
  }

  private apply(...actions: Action[]): void {
    const before = this.snapshot;
    const after = actions.reduce<ChatState>(reduce, before);
    if (after === before) return;
    this.update(after);
    if (after.isBehind || after.isElsewhere) void this.catchUp();
  }

  private update(change: Partial<ConversationSnapshot>): void {
    this.snapshot = { ...this.snapshot, ...change };
    this.changes.notify();
  }
}
