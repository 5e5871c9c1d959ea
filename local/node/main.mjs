// Entry point of the local gateway. Everything it needs comes from the environment.

import { withAuthAdmin } from "./auth_admin.mjs";
import { createDataApi } from "./data_api.mjs";
import { createGateway } from "./gateway.mjs";

function setting(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set`);
    process.exit(2);
  }
  return value;
}

const dataApi = await createDataApi({
  dbUrl: setting("LOCAL_DB_URL"),
  schema: process.env.DATABASE_SCHEMA || "public",
  jwtSecret: setting("SUPABASE_JWT_SECRET"),
  publishableKey: setting("SUPABASE_PUBLISHABLE_KEY"),
  secretKey: setting("SUPABASE_SECRET_KEY"),
  siteUrl: setting("SUPABASE_URL"),
});
const auth = withAuthAdmin({
  dbUrl: setting("LOCAL_DB_URL"),
  secretKey: setting("SUPABASE_SECRET_KEY"),
  serve: dataApi,
});
const gateway = createGateway({
  dataApi,
  auth,
  functionsUrl: setting("FUNCTIONS_URL"),
  realtimeUrl: setting("REALTIME_URL"),
  webDist: setting("WEB_DIST"),
  publishableKey: setting("SUPABASE_PUBLISHABLE_KEY"),
});

// What the database driver throws when Postgres is killed must not take the gateway down with it.
process.on("unhandledRejection", (reason) => console.error("unhandled:", String(reason)));
process.on("uncaughtException", (error) => console.error("uncaught:", String(error)));
process.on("SIGTERM", () => {
  gateway.close(() => process.exit(0));
  gateway.closeAllConnections();
});
gateway.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
gateway.listen(Number(setting("API_PORT")), "127.0.0.1", () => console.log("listening"));
