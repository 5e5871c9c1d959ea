/** One error for whatever goes wrong between here and the store. */

import {
  FunctionsFetchError,
  FunctionsHttpError,
  FunctionsRelayError,
} from "@supabase/supabase-js";
import type { ErrorBody } from "./types.js";

export const SIGNED_OUT = "signed_out";
const WORTH_ANOTHER_TRY = new Set([401, 408, 409, 425, 429, 500, 502, 503, 504]);

export class ChatError extends Error {
  readonly code: string;
  readonly status: number;
  /** Seconds after which asking again makes sense, where the server said so. */
  readonly retryAfter: number | null;
  readonly body: ErrorBody;

  constructor(body: ErrorBody, status: number, retryAfter: number | null = null) {
    super(body.message);
    this.name = "ChatError";
    this.body = body;
    this.code = body.code;
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether a limit was met: nothing was stored, and that may last for hours. */
  get isLimit(): boolean {
    return this.status === 429;
  }

  /** Whether the same request, under its key, may still go well. 0 is no response at all. */
  get isPassing(): boolean {
    if (this.code === SIGNED_OUT) return false;
    return this.status === 0 || WORTH_ANOTHER_TRY.has(this.status);
  }
}

export function networkError(): ChatError {
  return new ChatError({ code: "network", message: "The server can't be reached." }, 0);
}

/** There is no session any more: nobody is signed in here. */
export function signedOut(): ChatError {
  const message = "You are signed out. What you write is kept until you sign in again.";
  return new ChatError({ code: SIGNED_OUT, message }, 401);
}

/** The codes that say of something stored that it was deleted since. */
export const GONE = new Set(["conversation_not_found", "turn_not_found"]);
const REFUSED = new Set([
  "invalid_request",
  "forbidden",
  "not_found",
  "invalid_import",
  "checksum_mismatch",
  "import_incomplete",
  "idempotency_key_reused",
  ...GONE,
]);

/** The error that ends a stream: its status is gone by then, its code says as much. */
export function errorOfEvent(body: ErrorBody): ChatError {
  return new ChatError(body, REFUSED.has(body.code) ? 400 : 503);
}

/** Translate what supabase-js says of a call that failed. */
export async function chatErrorFrom(error: unknown): Promise<ChatError> {
  if (error instanceof ChatError) return error;
  if (error instanceof FunctionsHttpError || error instanceof FunctionsRelayError) {
    return errorOfResponse(error.context as Response);
  }
  if (error instanceof FunctionsFetchError) return networkError();
  return networkError();
}

async function errorOfResponse(response: Response): Promise<ChatError> {
  const seconds = Number(response.headers.get("retry-after"));
  const retryAfter = Number.isFinite(seconds) && seconds > 0 ? seconds : null;
  const body = await response.json().catch(() => null);
  return new ChatError(asErrorBody(body, response.status), response.status, retryAfter);
}

function asErrorBody(body: unknown, status: number): ErrorBody {
  const found = body as Partial<ErrorBody> | null;
  if (typeof found?.code === "string" && typeof found.message === "string") {
    return found as ErrorBody;
  }
  return { code: "unexpected", message: `The server answered ${status}.` };
}
