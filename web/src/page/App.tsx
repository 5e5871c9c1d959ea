/** Who is signed in decides what there is to see. */

import type { Session, SupabaseClient } from "@supabase/supabase-js";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { ErrorBoundary } from "../components/ErrorBoundary";
import { ChatClient } from "../core/client";
import { SignIn } from "./SignIn";
import { Unavailable } from "./Unavailable";

// Whoever signs in doesn't wait for what comes after.
const Workspace = lazy(() => import("./Workspace").then((page) => ({ default: page.Workspace })));

interface AppProps {
  supabase: SupabaseClient;
  url: string;
}

export function App({ supabase, url }: AppProps) {
  const session = useSession(supabase);
  useFreshPlace(session?.user.id);
  const client = useChatClient(supabase, url, session?.user.id);
  if (session === undefined) return <main className="alone" aria-busy="true" />;
  if (session === null) return <SignIn supabase={supabase} />;
  return (
    <ErrorBoundary fallback={<Unavailable />}>
      <Suspense fallback={<main className="alone" aria-busy="true" />}>
        {client && <Workspace client={client} email={session.user.email ?? ""} />}
      </Suspense>
    </ErrorBoundary>
  );
}

/** The session; null where nobody is signed in, undefined until that is known. */
function useSession(supabase: SupabaseClient): Session | null | undefined {
  const [session, setSession] = useState<Session | null>();
  useEffect(() => {
    const { data } = supabase.auth.onAuthStateChange((_, next) => setSession(next));
    return () => data.subscription.unsubscribe();
  }, [supabase]);
  return session;
}

/** Whoever comes next doesn't begin where the one before has left. */
function useFreshPlace(userId: string | undefined): void {
  const last = useRef(userId);
  useEffect(() => {
    if (last.current && last.current !== userId) location.replace("#/");
    last.current = userId;
  }, [userId]);
}

function useChatClient(supabase: SupabaseClient, url: string, userId?: string) {
  const [client, setClient] = useState<ChatClient | null>(null);
  useEffect(() => {
    if (!userId) return;
    const made = new ChatClient(supabase, userId, url);
    setClient(made);
    return () => {
      made.close();
      setClient(null);
    };
  }, [supabase, url, userId]);
  return client?.userId === userId ? client : null;
}
