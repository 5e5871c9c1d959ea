/** Who is signed in, what is held for them, and the texts, for every chat that stands in it. */

import type { Session, SupabaseClient } from "@supabase/supabase-js";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { ChatClient } from "../core/client.js";
import type { ChatTexts } from "../texts.js";
import { ChatContext } from "./context.js";

export interface ChatProviderProps {
  /** The project's client, of any schema: its signing in and out is followed. */
  supabase: SupabaseClient<any, any, any>;
  texts?: Partial<ChatTexts>;
  children: ReactNode;
}

export function ChatProvider({ supabase, texts, children }: ChatProviderProps) {
  const session = useSession(supabase);
  const client = useClientOf(supabase, session?.user.id);
  const chat = useMemo(() => ({ client, session, texts }), [client, session, texts]);
  return <ChatContext.Provider value={chat}>{children}</ChatContext.Provider>;
}

function useSession(supabase: SupabaseClient): Session | null | undefined {
  const [session, setSession] = useState<Session | null>();
  useEffect(() => {
    const { data } = supabase.auth.onAuthStateChange((_, next) => setSession(next));
    return () => data.subscription.unsubscribe();
  }, [supabase]);
  return session;
}

function useClientOf(supabase: SupabaseClient, userId: string | undefined): ChatClient | null {
  const [client, setClient] = useState<ChatClient | null>(null);
  useEffect(() => {
    if (!userId) return;
    const made = new ChatClient(supabase, userId);
    setClient(made);
    return () => {
      made.close(); // nothing of one user is left for the next
      setClient(null);
    };
  }, [supabase, userId]);
  return client?.userId === userId ? client : null;
}
