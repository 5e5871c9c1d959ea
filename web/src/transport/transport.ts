/**
 * A transport for the AI SDK's `useChat`: each message is written down in the browser before it is
 * sent, and sent under one key until it is answered, however often the network breaks in between.
 */

import { type ChatTransport, DefaultChatTransport, type UIMessage, type UIMessageChunk } from "ai";
import { v4 as newId } from "uuid"; // the browser's own is missing on plain HTTP
import { Outbox } from "../core/outbox.js";
import type { OutboxEntry } from "../core/types.js";
import { pauseAfter, untilOnline, wait } from "../core/waiting.js";
import { isPassing, Rewriting } from "./chunks.js";

type SendOptions<M extends UIMessage> = Parameters<ChatTransport<M>["sendMessages"]>[0];
type ReconnectOptions<M extends UIMessage> = Parameters<ChatTransport<M>["reconnectToStream"]>[0];
type Entry<M extends UIMessage> = OutboxEntry<Sent<M>>;

/** What is sent: the last message alone, since the history is stored. */
interface Sent<M extends UIMessage> {
  message: M;
  trigger: SendOptions<M>["trigger"];
  messageId?: string;
}

export interface TransportOptions {
  /** Where the functions are: `https://<project>.supabase.co/functions/v1`, or your own server. */
  url: string;
  /** Whose browser it is: one user's messages are not sent as another's. */
  userId: string;
  /** The access token, and on Supabase the apikey; asked for at each request. */
  headers: () => Record<string, string> | Promise<Record<string, string>>;
}

export interface LoadedChat<M extends UIMessage> {
  messages: M[];
  openTurn: { turnId: string } | null;
  page: { hasOlder: boolean; oldestSeq: number | null };
}

export class PersistedChatTransport<M extends UIMessage = UIMessage> implements ChatTransport<M> {
  readonly resumeStreamIsReplay = true;
  private readonly api: string;
  private readonly http: DefaultChatTransport<M>;
  private readonly outbox: Outbox<Sent<M>>;
  /** The turns that a chat was seen to run when it was loaded. */
  private readonly openTurns = new Map<string, string>();

  constructor(private readonly options: TransportOptions) {
    this.api = `${options.url}/ui-messages`;
    this.outbox = new Outbox(`ui-messages ${options.userId}`);
    this.http = new DefaultChatTransport<M>({
      api: this.api,
      headers: options.headers,
      prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => ({
        body: { id, message: messages.at(-1), trigger, messageId },
      }),
      prepareReconnectToStreamRequest: ({ id }) => ({ api: this.streamOf(id) }),
    });
  }

  /** Load a chat for `useChat({ messages })`; what has not been sent yet stands at its end. */
  async load(chatId: string, before?: number): Promise<LoadedChat<M>> {
    const query = before === undefined ? "" : `?before=${before}`;
    const loaded: LoadedChat<M> = await this.ask(`${encodeURIComponent(chatId)}${query}`, "GET");
    if (loaded.openTurn) this.openTurns.set(chatId, loaded.openTurn.turnId);
    const waiting = before === undefined ? await this.waitingIn(chatId) : [];
    return { ...loaded, messages: waiting.reduce(withUnsent<M>, loaded.messages) };
  }

  /** Stop the reply for good; `stop` of `useChat` only stops reading it. */
  async stop(chatId: string): Promise<void> {
    for (const { key } of await this.waitingIn(chatId)) await this.outbox.remove(key);
    await this.ask(`${encodeURIComponent(chatId)}/stop`, "POST");
  }

  async sendMessages(options: SendOptions<M>): Promise<ReadableStream<UIMessageChunk>> {
    const { chatId, messages, trigger, messageId, abortSignal } = options;
    const message = messages.at(-1);
    if (!message) throw new Error("There is no message to be answered.");
    const body = { message, trigger, messageId };
    const sent = { key: newId(), thread: chatId, body, state: "queued", attempts: 0 } as const;
    return this.deliver(await this.outbox.add(sent), abortSignal);
  }

  async reconnectToStream(
    options: ReconnectOptions<M>,
  ): Promise<ReadableStream<UIMessageChunk> | null> {
    const [unsent] = await this.waitingIn(options.chatId);
    if (unsent) return this.deliver(unsent, options.abortSignal);
    return this.http.reconnectToStream(options);
  }

  close = (): void => this.outbox.close();

  private deliver(entry: Entry<M>, signal?: AbortSignal): ReadableStream<UIMessageChunk> {
    const left = new AbortController();
    const either = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
    return new ReadableStream({
      start: (controller) => {
        this.pump(entry, either, (chunk) => controller.enqueue(chunk)).then(
          () => controller.close(),
          (error) => controller.error(error),
        );
      },
      cancel: () => left.abort(),
    });
  }

  /** Send until it is answered to the end; what was shown of a broken answer stays. */
  private async pump(
    entry: Entry<M>,
    signal: AbortSignal,
    show: (chunk: UIMessageChunk) => void,
  ): Promise<void> {
    const rewriting = new Rewriting(show);
    for (let failures = 0; ; failures += 1) {
      await untilOnline(signal);
      signal.throwIfAborted();
      try {
        if (await this.attempt(entry, signal, rewriting)) return;
      } catch (error) {
        if (signal.aborted) throw error;
        if (!isPassing(error)) {
          await this.outbox.remove(entry.key);
          throw error;
        }
      }
      await wait(pauseAfter(failures), signal);
    }
  }

  /** Send once; return whether the answer came to its end. */
  private async attempt(entry: Entry<M>, signal: AbortSignal, to: Rewriting): Promise<boolean> {
    const { message, trigger, messageId } = entry.body;
    const stream = await this.http.sendMessages({
      chatId: entry.thread,
      messages: [message],
      trigger,
      messageId,
      abortSignal: signal,
      headers: { "idempotency-key": entry.key },
    });
    to.begin();
    const reader = stream.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return to.isOver;
        if (value.type === "start") await this.outbox.remove(entry.key); // it is stored by now
        if (!to.take(value)) return false;
        if (to.isOver) return true;
      }
    } finally {
      await reader.cancel().catch(() => undefined); // what broke has nothing to be cancelled
    }
  }

  private async waitingIn(chatId: string): Promise<Entry<M>[]> {
    await this.outbox.read();
    return this.outbox.entries.filter(({ thread }) => thread === chatId);
  }

  /** Where a chat's reply is; one that was seen to be written is given after its end, too. */
  private streamOf(chatId: string): string {
    const turnId = this.openTurns.get(chatId);
    this.openTurns.delete(chatId);
    const query = turnId ? `?turnId=${turnId}` : "";
    return `${this.api}/${encodeURIComponent(chatId)}/stream${query}`;
  }

  private async ask<T>(path: string, method: string): Promise<T> {
    const headers = await this.options.headers();
    const answer = await fetch(`${this.api}/${path}`, { method, headers });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
}

/** A chat as it is with a message that waits: at its end, or where it is stored or edited already. */
function withUnsent<M extends UIMessage>(messages: M[], { body }: Entry<M>): M[] {
  const { message, trigger } = body;
  if (trigger !== "submit-message" || message.role !== "user") return messages;
  const place = messages.findIndex(({ id, metadata }) => {
    const { sentAs } = (metadata ?? {}) as { sentAs?: string };
    return id === message.id || sentAs === message.id;
  });
  return [...(place < 0 ? messages : messages.slice(0, place)), message];
}
