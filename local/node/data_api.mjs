// The Data API and Auth of the local stack: @supabase/lite, embedded on the real Postgres.

import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";

const passThrough = (value) => value;

// What a hosted project's `authenticator` has, in milliseconds.
const LIMITS = { statement_timeout: 8000, lock_timeout: 8000 };

// Query parameters of the Data API that choose no rows.
const NO_FILTERS = new Set(["select", "columns", "order", "limit", "offset", "on_conflict"]);

// Types whose default handling differs from PostgREST's.
const types = {
  // Postgres prints "2026-11-22 10:00:00.5+00"; the Data API answers ISO 8601.
  timestamptz: {
    from: [1184],
    to: 1184,
    serialize: passThrough,
    parse: (text) => text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"),
  },
  // Arguments arrive as JSON text already; a second stringify would make them JSON strings.
  json: { from: [114], to: 114, serialize: stringifyOnce, parse: JSON.parse },
  jsonb: { from: [3802], to: 3802, serialize: stringifyOnce, parse: JSON.parse },
};

function stringifyOnce(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * Build the request handler for /rest/v1 and /auth/v1.
 * @param {{dbUrl: string, schema: string, jwtSecret: string, publishableKey: string, secretKey: string, siteUrl: string}} settings
 * @returns {Promise<(request: Request) => Promise<Response>>}
 */
export async function createDataApi({ dbUrl, schema, jwtSecret, publishableKey, secretKey, siteUrl }) {
  const connection = createPostgresConnection({
    url: dbUrl,
    postgresOptions: { types, max: 20, onnotice: () => {}, connection: LIMITS },
  });
  leaveGrantsAlone(connection);
  leaveAuthFunctionsAlone(connection);
  overlookSchema(connection, "realtime");
  const app = new App({
    connection,
    options: { server: { disableStudio: true } },
    api: { schemas: [...new Set(["public", schema])] },
    auth: {
      enabled: true,
      site_url: siteUrl,
      jwt_secret: jwtSecret,
      publishable_key: publishableKey,
      secret_key: secretKey,
      email: { enable_signup: true, enable_confirmations: false },
    },
  });
  await app.init();
  await app.ensureSystemSchema();
  return async (request) => refusedAsUnfiltered(request) ?? app.fetch(request);
}

/** As pg-safeupdate does on hosted projects: no update or delete of all rows by an oversight. */
function refusedAsUnfiltered(request) {
  const { pathname, searchParams } = new URL(request.url);
  const command = { PATCH: "UPDATE", DELETE: "DELETE" }[request.method];
  const isFiltered = [...searchParams.keys()].some((name) => !NO_FILTERS.has(name));
  if (!command || isFiltered || !pathname.startsWith("/rest/v1/")) return null;
  const message = `${command} requires a WHERE clause`;
  return Response.json({ code: "21000", message, details: null, hint: null }, { status: 400 });
}

/** Lite grants every table to every role before its first query; here the migrations say who may what. */
function leaveGrantsAlone(connection) {
  connection.ensureRlsContext = async () => true;
}

/** Lite would write auth.uid() and its like at each start, blind to claims given as one object. */
function leaveAuthFunctionsAlone(connection) {
  connection.config.baseSchema = "create schema if not exists auth;";
}

/** Lite resolves an embedded table by its bare name, so realtime.messages shadows public.messages. */
function overlookSchema(connection, schema) {
  const introspect = connection.introspect.bind(connection);
  connection.introspect = async (options) => {
    const entries = Object.entries(await introspect(options));
    return Object.fromEntries(
      entries.map(([key, value]) => [
        key,
        Array.isArray(value) ? value.filter((item) => item?.schema !== schema) : value,
      ]),
    );
  };
}
