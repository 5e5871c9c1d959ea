import "@fontsource-variable/inter/wght.css";
import "message-persistence-web/styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "../styles/page.css";
import { App } from "./App";
import { createPageClient } from "./supabase";

interface Config {
  supabaseUrl: string;
  publishableKey: string;
}

const root = createRoot(document.getElementById("root") as HTMLElement);

/** Which project this page talks to is said by whoever serves it. */
async function readConfig(): Promise<Config> {
  const response = await fetch("/config.json");
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  return response.json();
}

readConfig().then(
  ({ supabaseUrl, publishableKey }) => {
    const supabase = createPageClient(supabaseUrl || location.origin, publishableKey);
    root.render(
      <StrictMode>
        <App supabase={supabase} />
      </StrictMode>,
    );
  },
  () =>
    root.render(
      <main className="alone">
        <h1>The server can't be reached</h1>
        <p>Nothing is lost. Reload the page in a moment.</p>
        <button type="button" className="button" onClick={() => location.reload()}>
          Reload
        </button>
      </main>,
    ),
);
