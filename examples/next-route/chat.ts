/**
 * Route handlers for `useChat` in an app with a server of its own, such as Next.js: they pass a
 * chat's requests on to ui-messages, with the token of whoever is signed in. In Next.js these are
 *
 *   app/api/chat/route.ts              export { POST } from "...";
 *   app/api/chat/[id]/route.ts         export { GET } from "...";
 *   app/api/chat/[id]/stream/route.ts  export { GET } from "...";
 *   app/api/chat/[id]/stop/route.ts    export { POST } from "...";
 */

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY = "" } = process.env;

export const POST = forward;
export const GET = forward;

async function forward(request: Request): Promise<Response> {
  const token = accessTokenOf(request);
  if (!token) return Response.json({ message: "Sign in first." }, { status: 401 });
  const { pathname, search } = new URL(request.url);
  const path = pathname.replace(/^.*?\/api\/chat/, "") + search;
  const key = request.headers.get("idempotency-key");
  const answer = await fetch(`${SUPABASE_URL}/functions/v1/ui-messages${path}`, {
    method: request.method,
    headers: {
      apikey: SUPABASE_PUBLISHABLE_KEY,
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      ...(key && { "idempotency-key": key }),
    },
    body: request.method === "POST" ? await request.text() : null,
    // The page going away ends the reading, and never the turn.
    signal: request.signal,
  });
  return new Response(answer.body, { status: answer.status, headers: passedOn(answer.headers) });
}

/** With `@supabase/ssr` it is `(await supabase.auth.getSession()).data.session?.access_token`. */
function accessTokenOf(request: Request): string | undefined {
  return request.headers.get("authorization")?.replace(/^Bearer /, "");
}

function passedOn(headers: Headers): Headers {
  const names = ["content-type", "cache-control", "x-vercel-ai-ui-message-stream", "retry-after"];
  const kept = names.map((name) => [name, headers.get(name) ?? ""]);
  return new Headers(kept.filter(([, value]) => value) as [string, string][]);
}
