/** The functions, each a method; over supabase-js, so that its session and its keys are used. */

import {
  type FunctionInvokeOptions,
  FunctionsHttpError,
  isAuthSessionMissingError,
  type SupabaseClient,
} from "@supabase/supabase-js";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { v4 as newId } from "uuid"; // the browser's own is missing on plain HTTP
import { ChatError, chatErrorFrom, errorOfEvent, networkError, signedOut } from "./errors.js";
import type {
  Analytics,
  ConversationChange,
  ConversationList,
  ConversationRow,
  ImportReport,
  LoadedConversation,
  SearchPage,
  SendBody,
  StreamEvent,
} from "./types.js";

export interface LoadPlace {
  before?: number;
  after?: number;
  around?: string;
  /** Of the path through this branch, instead of the active one. */
  branch?: number;
  limit?: number;
}

export interface ListPlace {
  archived?: boolean;
  projectId?: string;
  limit?: number;
  cursor?: string;
}

const EVENT_STREAM = { accept: "text/event-stream" };
/** Milliseconds: the server says something every fifteen seconds, so this is a road that is dead. */
const SILENCE = 45_000;
const UPLOAD = 1_800_000; // milliseconds that a file may take on its way up
const DEADLINE = 20_000; // milliseconds for a response that is short; the AI's and files take longer
const IMPORT_PAUSE = 1_000; // milliseconds before a file is sent again
const MOST_IN_VAIN = 3; // times in a row that a file is sent again without getting further
const REFRESH_PAUSE = 30_000; // milliseconds before another refused token is worth a refresh

export class Endpoints {
  private nextRefresh = 0;

  constructor(private readonly client: SupabaseClient) {}

  /** Send a message under its key and follow its turn. */
  send(
    { request, ...rest }: SendBody,
    key: string,
    signal?: AbortSignal,
  ): AsyncGenerator<StreamEvent> {
    return this.stream("mega-mind", {
      method: "POST",
      body: { ...rest, ...(request && { request }) },
      headers: { ...EVENT_STREAM, "idempotency-key": key },
      signal,
    });
  }

  /** Follow a turn that was begun before, from a place in its draft on. */
  follow(turnId: string, place: string | null, signal?: AbortSignal): AsyncGenerator<StreamEvent> {
    const headers = place ? { ...EVENT_STREAM, "last-event-id": place } : EVENT_STREAM;
    return this.stream(`mega-mind?turnId=${turnId}`, { method: "GET", headers, signal });
  }

  /** Ask the AI and have nothing stored. */
  ask(body: SendBody): Promise<{ message: { content: string; generated_code: string | null } }> {
    return this.json("mega-mind", { method: "POST", body: { ...body } });
  }

  stop(turnId: string): Promise<{ status: string }> {
    return this.call("cancel-turn", { method: "POST", body: { turnId } });
  }

  load(conversationId: string, place: LoadPlace = {}): Promise<LoadedConversation> {
    return this.call("load-conversation", { method: "POST", body: { conversationId, ...place } });
  }

  list(place: ListPlace = {}): Promise<ConversationList> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(place)) {
      if (value !== undefined) query.set(name, String(value));
    }
    return this.call(`conversations?${query}`, { method: "GET" });
  }

  async update(id: string, change: ConversationChange): Promise<ConversationRow> {
    const { conversation } = await this.call<{ conversation: ConversationRow }>(
      `conversations/${id}`,
      { method: "PATCH", body: change },
    );
    return conversation;
  }

  remove(id: string): Promise<{ deleted: string }> {
    return this.json(`conversations/${id}`, { method: "DELETE" }); // of a long one, this takes its time
  }

  search(q: string, archived: boolean, cursor?: string): Promise<SearchPage> {
    const body = { q, archived, ...(cursor && { cursor }) };
    return this.call("search-messages", { method: "POST", body });
  }

  analytics(range: { from: string; to: string; bucket: string; timeZone: string }) {
    return this.call<Analytics>("conversation-analytics", { method: "POST", body: range });
  }

  /**
   * Import a file's conversations, with word of how far it is. Where the connection ends first, the
   * same file is sent again under the same key, and goes on where it stopped.
   */
  async import(
    file: File,
    onProgress: (done: number, total: number) => void,
  ): Promise<ImportReport> {
    const isZip = /\.zip$/i.test(file.name) || file.type.includes("zip");
    const type = isZip ? "application/zip" : "application/json";
    const headers = { ...EVENT_STREAM, "content-type": type, "idempotency-key": newId() };
    const options: FunctionInvokeOptions = { method: "POST", body: file, headers };
    let furthest = 0;
    for (let inVain = 0; ; inVain += 1) {
      const events = this.stream<ImportEvent>("import-conversation", options, UPLOAD);
      try {
        for await (const event of events) {
          if (event.name === "done") return event.data;
          if (event.name !== "progress") continue;
          if (event.data.done > furthest) inVain = -1;
          furthest = Math.max(furthest, event.data.done);
          onProgress(furthest, event.data.total);
        }
      } catch (error) {
        const mayGoOn = error instanceof ChatError && error.isPassing && inVain < MOST_IN_VAIN;
        if (!mayGoOn) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, IMPORT_PAUSE));
    }
  }

  /** Call a function and return its JSON, which is soon there or never. Throws a ChatError. */
  call<T>(path: string, options: FunctionInvokeOptions): Promise<T> {
    return this.json(path, { timeout: DEADLINE, ...options });
  }

  private async json<T>(path: string, options: FunctionInvokeOptions): Promise<T> {
    const { data, error } = await this.invoke<T>(path, options);
    if (error) throw await chatErrorFrom(error);
    return data as T;
  }

  /** Call a function and return its raw response, such as a file. Throws a ChatError. */
  async raw(path: string, options: FunctionInvokeOptions): Promise<Response> {
    const { data, error, response } = await this.invoke(path, options);
    if (error) throw await chatErrorFrom(error);
    return data instanceof Response ? data : (response as Response);
  }

  /** Call a function; once more with a new token where the one at hand is refused. */
  private async invoke<T>(path: string, options: FunctionInvokeOptions) {
    const response = await this.client.functions.invoke<T>(path, options);
    const isRefused =
      response.error instanceof FunctionsHttpError && response.error.context.status === 401;
    if (!isRefused || !(await this.refresh())) return response;
    return this.client.functions.invoke<T>(path, options);
  }

  /** By a clock that is slow, a token has not expired that the server takes no more. */
  private async refresh(): Promise<boolean> {
    if (performance.now() < this.nextRefresh) return false;
    this.nextRefresh = performance.now() + REFRESH_PAUSE;
    const { data, error } = await this.client.auth.refreshSession();
    if (isAuthSessionMissingError(error)) {
      await this.client.auth.signOut({ scope: "local" }); // which says so to all who follow it
      throw signedOut();
    }
    return data.session !== null;
  }

  /** Read a stream; where no byte comes for long, it is broken. */
  private async *stream<E extends { name: string } = StreamEvent>(
    path: string,
    options: FunctionInvokeOptions,
    firstByte = SILENCE,
  ): AsyncGenerator<E> {
    const silence = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = (time: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), time);
    };
    const signals = [silence.signal, ...(options.signal ? [options.signal] : [])];
    wait(firstByte);
    try {
      const signal = AbortSignal.any(signals);
      yield* this.events<E>(path, { ...options, signal }, () => wait(SILENCE));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Read a stream of events up to its `done`; throw what its `error` says, or that it broke. */
  private async *events<E extends { name: string }>(
    path: string,
    options: FunctionInvokeOptions,
    onBytes: () => void = () => undefined,
  ): AsyncGenerator<E> {
    const response = await this.raw(path, options);
    if (!response.body) throw networkError();
    const listened = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        onBytes();
        controller.enqueue(chunk);
      },
    });
    const parsed = response.body
      .pipeThrough(listened)
      .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
      .pipeThrough(new EventSourceParserStream());
    const reader = parsed.getReader();
    try {
      while (true) {
        const { done, value } = await reader.read().catch(() => {
          throw networkError();
        });
        if (done) throw networkError();
        const data = JSON.parse(value.data);
        if (value.event === "error") throw errorOfEvent(data);
        yield { name: value.event, data } as unknown as E;
        if (value.event === "done") return;
      }
    } finally {
      reader.cancel().catch(() => undefined);
    }
  }
}

type ImportEvent =
  | { name: "progress"; data: { done: number; total: number } }
  | { name: "done"; data: ImportReport };
