import { createClient } from "@supabase/supabase-js";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ChatError } from "../core/errors";
import "../styles/page.css";
import { App } from "./App";

interface Config {
  supabaseUrl: string;
  publishableKey: string;
}

const root = createRoot(document.getElementById("root") as HTMLElement);
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      retry: (failures, error) => failures < 3 && error instanceof ChatError && error.isPassing,
    },
  },
});

/** Which project this page talks to is told by whoever serves it. */
async function readConfig(): Promise<Config> {
  const answer = await fetch("/config.json");
  if (!answer.ok) throw new Error(`config.json: ${answer.status}`);
  return answer.json();
}

readConfig().then(
  ({ supabaseUrl, publishableKey }) => {
    const url = supabaseUrl || location.origin;
    const supabase = createClient(url, publishableKey);
    root.render(
      <StrictMode>
        <QueryClientProvider client={queries}>
          <App supabase={supabase} queries={queries} url={url} />
        </QueryClientProvider>
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
