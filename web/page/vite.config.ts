import react from "@vitejs/plugin-react";
import { defaultClientConditions, defineConfig } from "vite";

// `make web` passes on to the local stack; the built page is served by it.
const stack = process.env.SUPABASE_URL ?? "http://127.0.0.1:54321";
const passedOn = ["/auth/v1", "/rest/v1", "/functions/v1", "/realtime/v1", "/config.json"];

export default defineConfig({
  plugins: [react()],
  // The package as its sources are, not as it was built last.
  resolve: { conditions: ["message-persistence-source", ...defaultClientConditions] },
  server: {
    proxy: Object.fromEntries(passedOn.map((path) => [path, { target: stack, ws: true }])),
  },
  build: {
    target: "es2023",
    // A file of its own for each asset: a strict Content-Security-Policy allows no data: fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
