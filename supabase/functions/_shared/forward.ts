// What every function here does: pass a request on to the Python service, and its answer back.
//
// Bodies stream both ways and are never held. Each request is signed, so that the service can
// refuse whoever comes around this project. What the service itself doesn't answer, because it
// can't be reached or is too slow, is answered here in the service's own shape.

import { createHash, createHmac } from "node:crypto";

/** Where the service is, the secret it knows us by, and the limits we keep. */
interface Settings {
  readonly url: string;
  readonly secret: string;
  readonly origins: readonly string[];
  readonly firstByteSeconds: number;
  readonly totalSeconds: number;
}

const PREFIX = "/functions/v1";
const METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS";
const STARTED_AT = performance.now(); // monotonic: the clock may be set

// Nothing else passes: no cookies, no claims about where a request came from, no signature.
const REQUEST_HEADERS = [
  "accept",
  "accept-language",
  "apikey",
  "authorization",
  "baggage",
  "content-encoding",
  "content-type",
  "idempotency-key",
  "if-none-match",
  "last-event-id",
  "origin",
  "prefer",
  "range",
  "traceparent",
  "tracestate",
  "user-agent",
  "x-client-info",
  "x-region",
  "x-request-id",
  "x-retry-count",
] as const;

// What belongs to one connection, or names what stands behind this project.
const HELD_BACK = [
  "alt-svc",
  "connection",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "server",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
] as const;

const UNAVAILABLE = problem(
  "unavailable",
  "The service is not available right now; try again.",
  "A retry with the same Idempotency-Key does nothing twice.",
);
const CUT_OFF = problem(
  "unavailable",
  "This connection has reached its time limit; the turn goes on.",
  "Follow it: GET mega-mind?turnId=... with the Last-Event-ID of this stream.",
);
const NOT_FOUND = problem("not_found", "There is nothing at this address.");
const MISCONFIGURED = problem("internal_error", "Something went wrong on our side.");
const LINE_FEED = 10;
const CUT_OFF_EVENT = new TextEncoder().encode(
  `event: error\ndata: ${JSON.stringify(CUT_OFF)}\n\n`,
);

/** Return the body of an error, as all Supabase clients know it. */
function problem(code: string, message: string, hint: string | null = null) {
  return { code, message, details: null, hint };
}

/** Serve one endpoint of the service, by the name that it has there and here. */
export function serve(name: string): void {
  Deno.serve((request) => forward(name, request));
}

async function forward(name: string, request: Request): Promise<Response> {
  const settings = readSettings();
  if (settings === null) return refuse(request, ["*"], 500, MISCONFIGURED);
  if (request.method === "OPTIONS") return answerPreflight(request, settings.origins);
  const target = targetOf(request.url);
  if (!isUnder(target, name)) return refuse(request, settings.origins, 404, NOT_FOUND);
  const endsAt = endOf(settings);
  try {
    const answer = await ask(request, target, settings, endsAt);
    if (isFromTheService(answer)) return passOn(answer, endsAt);
    console.error(`${name}: answered ${answer.status} by what stands before the service`);
    await answer.body?.cancel();
  } catch (error) {
    // Its message would have the address, and with it what somebody searched for.
    console.error(`${name}: no answer from the service (${error instanceof Error && error.name})`);
  }
  return refuse(request, settings.origins, 503, UNAVAILABLE);
}

/** Read the settings; null, and a line in the log, where one is missing or wrong. */
function readSettings(): Settings | null {
  const url = Deno.env.get("FORWARD_URL")?.replace(/\/+$/, "");
  const secret = Deno.env.get("FORWARD_SECRET");
  if (!url || !secret) {
    console.error("FORWARD_URL and FORWARD_SECRET are needed: supabase secrets set ...");
    return null;
  }
  // The platform's own limits: 150 seconds to the first byte, and a worker's life of 150 on the free
  // plan, 400 on others. Ours are shorter, and end in an answer.
  const firstByteSeconds = Number(Deno.env.get("FORWARD_FIRST_BYTE_SECONDS") || 145);
  const totalSeconds = Number(Deno.env.get("FORWARD_TOTAL_SECONDS") || 140);
  if (!(firstByteSeconds > 0 && totalSeconds > 0)) {
    console.error("FORWARD_FIRST_BYTE_SECONDS and FORWARD_TOTAL_SECONDS have to be numbers");
    return null;
  }
  const origins = (Deno.env.get("CORS_ORIGINS") ?? "*").split(",").map((item) => item.trim());
  return { url, secret, origins, firstByteSeconds, totalSeconds };
}

/**
 * Return when a request that comes now has to have ended.
 *
 * The platform ends a worker, with all it is doing, so many seconds after the worker's own start.
 * It gives it nothing new in the second half of that time, so each request has half of it or more.
 */
function endOf(settings: Settings): number {
  const total = settings.totalSeconds * 1000;
  return Math.max(STARTED_AT + total, performance.now() + total / 2);
}

/** Return path and query behind the functions' prefix, which is there or not. */
function targetOf(address: string): string {
  const { pathname, search } = new URL(address);
  const path = pathname.startsWith(`${PREFIX}/`) ? pathname.slice(PREFIX.length) : pathname;
  return path + search;
}

function isUnder(target: string, name: string): boolean {
  return target.startsWith(`/${name}`) && /^($|[/?])/.test(target.slice(name.length + 1));
}

/** Send the request on; the promise is of the answer's head, in time. */
async function ask(
  request: Request,
  target: string,
  settings: Settings,
  endsAt: number,
): Promise<Response> {
  const patience = new AbortController();
  const milliseconds = Math.min(settings.firstByteSeconds * 1000, endsAt - performance.now());
  const timer = setTimeout(() => patience.abort(), milliseconds);
  try {
    return await fetch(settings.url + PREFIX + target, {
      method: request.method,
      headers: signedHeaders(request, target, settings.secret),
      body: request.body,
      redirect: "manual", // a token is for the service alone
      signal: AbortSignal.any([request.signal, patience.signal]),
    });
  } finally {
    clearTimeout(timer);
  }
}

function signedHeaders(request: Request, target: string, secret: string): Headers {
  const headers = new Headers();
  for (const name of REQUEST_HEADERS) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  headers.set("accept-encoding", "identity"); // whoever compresses a stream holds it up
  const timestamp = Math.floor(Date.now() / 1000).toString();
  const credentials = ["authorization", "apikey"].map((name) => hashOf(headers.get(name) ?? ""));
  const message = [timestamp, request.method, target, ...credentials].join("\n");
  const signature = createHmac("sha256", secret).update(message).digest("hex");
  headers.set("x-forward-signature", `t=${timestamp},v1=${signature}`);
  return headers;
}

function hashOf(header: string): string {
  return createHash("sha256").update(header, "latin1").digest("hex"); // its characters are bytes
}

/** Tell the service's own answers from those of whatever stands before it. */
function isFromTheService(answer: Response): boolean {
  const { status } = answer;
  const type = answer.headers.get("content-type") ?? "";
  if (status === 502 || status === 504) return false;
  // Its errors are JSON. A host that has nobody to ask, or no time, says so in words of its own.
  if (status >= 500 || status === 404 || status === 429) return type.startsWith("application/json");
  const isRedirect = status >= 300 && status < 400 && status !== 304;
  return !isRedirect && !type.startsWith("text/html");
}

function passOn(answer: Response, endsAt: number): Response {
  const headers = new Headers(answer.headers);
  for (const name of HELD_BACK) headers.delete(name);
  const isStream = headers.get("content-type")?.startsWith("text/event-stream") ?? false;
  // The AI SDK's protocol has no such event, and its client resumes what broke off.
  const hasEvents = isStream && !headers.has("x-vercel-ai-ui-message-stream");
  const body = answer.body && endInTime(answer.body, endsAt, hasEvents);
  return new Response(body, { status: answer.status, headers });
}

/**
 * Pass a body on, and end it before the platform would cut it off.
 *
 * A stream of events ends with an `error` event behind a whole one. Any other body breaks, so that
 * half of it is not taken for all.
 */
function endInTime(
  body: ReadableStream<Uint8Array>,
  endsAt: number,
  hasEvents: boolean,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let isBetweenEvents = true;
  let isLate = false;
  let giveUp = () => {};
  const timer = setTimeout(() => {
    isLate = true;
    giveUp();
  }, endsAt - performance.now());

  // Not a race with one promise for all of the time, which would keep every piece for as long.
  function readInTime(): Promise<ReadableStreamReadResult<Uint8Array> | null> {
    return new Promise((resolve, reject) => {
      giveUp = () => resolve(null);
      if (isLate) giveUp();
      reader.read().then(resolve, reject);
    });
  }

  return new ReadableStream({
    async pull(controller) {
      const mayEnd = !hasEvents || isBetweenEvents;
      const next = await (mayEnd ? readInTime() : reader.read());
      if (next === null) {
        await reader.cancel();
        if (!hasEvents) throw new Error("time limit"); // breaks the connection
        controller.enqueue(CUT_OFF_EVENT);
        controller.close();
      } else if (next.done) {
        clearTimeout(timer);
        controller.close();
      } else {
        isBetweenEvents = endsAnEvent(next.value);
        controller.enqueue(next.value);
      }
    },
    async cancel(reason) {
      clearTimeout(timer);
      await reader.cancel(reason);
    },
  });
}

/** Say whether a piece of a stream ends with the blank line behind an event. */
function endsAnEvent(piece: Uint8Array): boolean {
  return piece.at(-1) === LINE_FEED && piece.at(-2) === LINE_FEED;
}

function answerPreflight(request: Request, origins: readonly string[]): Response {
  const headers = corsHeaders(request, origins);
  headers.set("access-control-allow-methods", METHODS);
  headers.set("access-control-allow-headers", REQUEST_HEADERS.join(", "));
  headers.set("access-control-max-age", "600");
  return new Response(null, { status: 204, headers });
}

function refuse(
  request: Request,
  origins: readonly string[],
  status: number,
  body: ReturnType<typeof problem>,
): Response {
  const headers = corsHeaders(request, origins);
  if (status === 503) headers.set("retry-after", "2");
  headers.set("x-request-id", request.headers.get("x-request-id") ?? crypto.randomUUID());
  return Response.json(body, { status, headers });
}

function corsHeaders(request: Request, origins: readonly string[]): Headers {
  const headers = new Headers({
    "access-control-expose-headers": "x-request-id, retry-after",
    vary: "origin",
  });
  const allowed = origins.find((one) => one === "*" || one === request.headers.get("origin"));
  if (allowed !== undefined) headers.set("access-control-allow-origin", allowed);
  return headers;
}
