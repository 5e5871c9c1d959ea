// What hosted Auth has and the embedded one hasn't: admin calls for whoever has the secret key, and
// no sign-in for who is banned.

import { createHash, randomUUID } from "node:crypto";
import bcrypt from "bcryptjs";
import postgres from "postgres";

const PREFIX = "/auth/v1/admin/users";
const CASCADE_SECONDS = 10; // what hosted Auth gives the deletion of a user
const TAKEN = "A user with this email address has already been registered";
const UNITS = { h: 3600, m: 60, s: 1 };

class AuthError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.body = { code: status, error_code: code, msg: message };
  }
}

/**
 * Put the admin calls (list, create, get, update and delete users) before a handler of Auth.
 * @param {{dbUrl: string, secretKey: string, serve: (request: Request) => Promise<Response>}} parts
 * @returns {(request: Request) => Promise<Response>}
 */
export function withAuthAdmin({ dbUrl, secretKey, serve }) {
  const sql = postgres(dbUrl, { max: 2, onnotice: () => {} });
  return async (request) => {
    const url = new URL(request.url);
    if (url.pathname === "/auth/v1/token") return unlessBanned(sql, await serve(request));
    if (url.pathname !== PREFIX && !url.pathname.startsWith(`${PREFIX}/`)) return serve(request);
    try {
      requireSecretKey(request, secretKey);
      return Response.json(await answer(sql, request, url));
    } catch (error) {
      return refusal(error);
    }
  };
}

async function unlessBanned(sql, answer) {
  if (answer.status !== 200) return answer;
  const { user } = await answer.clone().json();
  const [banned] = await sql`select from auth.users where id = ${user.id} and banned_until > now()`;
  return banned ? refusal(new AuthError(400, "user_banned", "User is banned")) : answer;
}

function refusal(error) {
  let known = error;
  if (error.code === "23505") known = new AuthError(422, "email_exists", TAKEN);
  if (!(known instanceof AuthError)) {
    console.error("auth admin:", error.code ?? error.name);
    known = new AuthError(500, "unexpected_failure", "Unexpected failure");
  }
  return Response.json(known.body, { status: known.status });
}

function requireSecretKey(request, secretKey) {
  const digest = (text) => createHash("sha256").update(text).digest("hex");
  const bearer = request.headers.get("authorization")?.replace(/^Bearer /i, "");
  const shown = request.headers.get("apikey") ?? bearer ?? "";
  if (digest(shown) !== digest(secretKey)) throw new AuthError(403, "not_admin", "User not allowed");
}

async function answer(sql, request, url) {
  const id = url.pathname.slice(PREFIX.length + 1);
  const key = id ? `${request.method} one` : request.method;
  const handle = { GET: list, POST: create, "GET one": get, "PUT one": update, "DELETE one": remove }[key];
  if (!handle) throw new AuthError(405, "bad_request", "Method not allowed");
  if (id && !/^[0-9a-f-]{36}$/i.test(id)) throw new AuthError(400, "validation_failed", "Not a uuid");
  const body = ["POST", "PUT"].includes(request.method) ? await request.json() : {};
  return handle(sql, { id, body, query: url.searchParams });
}

async function list(sql, { query }) {
  const perPage = Number(query.get("per_page")) || 50;
  const page = Number(query.get("page")) || 1;
  const rows = await sql`
    select * from auth.users order by created_at desc limit ${perPage} offset ${(page - 1) * perPage}`;
  return { users: rows.map(shown), aud: "authenticated" };
}

async function get(sql, { id }) {
  const [row] = await sql`select * from auth.users where id = ${id}`;
  if (!row) throw new AuthError(404, "user_not_found", "User not found");
  return shown(row);
}

async function create(sql, { body }) {
  const id = body.id ?? randomUUID();
  const about = { sub: id, email: body.email, email_verified: !!body.email_confirm };
  const values = {
    ...(await columns(body)),
    id,
    aud: "authenticated",
    role: "authenticated",
    raw_app_meta_data: { provider: "email", providers: ["email"], ...body.app_metadata },
    raw_user_meta_data: { ...about, ...body.user_metadata },
  };
  await sql`insert into auth.users ${sql(values)}`;
  return get(sql, { id });
}

async function update(sql, { id, body }) {
  const before = await get(sql, { id });
  const values = { ...(await columns(body)), updated_at: new Date() };
  const { app_metadata: app, user_metadata: user } = body;
  if (app) values.raw_app_meta_data = { ...before.app_metadata, ...app };
  if (user) values.raw_user_meta_data = { ...before.user_metadata, ...user };
  await sql`update auth.users set ${sql(values)} where id = ${id}`;
  return get(sql, { id });
}

async function remove(sql, { id }) {
  await get(sql, { id });
  await sql.begin(async (transaction) => {
    await transaction.unsafe(`set local statement_timeout = '${CASCADE_SECONDS}s'`);
    await transaction`delete from auth.users where id = ${id}`;
  });
  return {};
}

async function columns({ email, password, email_confirm: isConfirmed, ban_duration: ban }) {
  const values = {};
  if (email !== undefined) values.email = email;
  if (password !== undefined) values.encrypted_password = await bcrypt.hash(password, 10);
  if (isConfirmed) values.email_confirmed_at = new Date();
  if (ban === "none") values.banned_until = null;
  else if (ban !== undefined) values.banned_until = new Date(Date.now() + milliseconds(ban));
  return values;
}

function milliseconds(duration) {
  const parts = [...String(duration).matchAll(/(\d+(?:\.\d+)?)([hms])/g)];
  if (!parts.length) throw new AuthError(400, "validation_failed", "Invalid ban_duration");
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit] * 1000, 0);
}

function shown(row) {
  const { encrypted_password: _, raw_app_meta_data: app, raw_user_meta_data: user, ...rest } = row;
  const kept = Object.entries(rest).filter(([name, value]) => value !== null && !/token/.test(name));
  const metadata = { app_metadata: app ?? {}, user_metadata: user ?? {} };
  return { ...Object.fromEntries(kept), ...metadata, identities: [] };
}
