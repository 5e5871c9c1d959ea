/** Who is signed in decides what there is to see. */

import type { Session, SupabaseClient } from "@supabase/supabase-js";
import type { QueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ChatClient } from "../core/client";
import { SignIn } from "./SignIn";
import { Workspace } from "./Workspace";

interface AppProps {
  supabase: SupabaseClient;
  queries: QueryClient;
}

export function App({ supabase, queries }: AppProps) {
  const session = useSession(supabase);
  const client = useChatClient(supabase, queries, session?.user.id);
  if (session === undefined) return <main className="alone" aria-busy="true" />;
  if (session === null) return <SignIn supabase={supabase} />;
  return client && <Workspace client={client} email={session.user.email ?? ""} />;
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

function useChatClient(supabase: SupabaseClient, queries: QueryClient, userId?: string) {
  const [client, setClient] = useState<ChatClient | null>(null);
  useEffect(() => {
    if (!userId) return;
    const made = new ChatClient(supabase, userId, queries);
    setClient(made);
    return () => {
      made.close();
      queries.clear(); // nothing of one user is left for the next
      setClient(null);
    };
  }, [supabase, queries, userId]);
  return client?.userId === userId ? client : null;
}
