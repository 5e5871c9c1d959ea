/** Who is signed in decides what there is to see. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { ChatProvider, ErrorBoundary, useChatContext } from "message-persistence-web";
import { lazy, Suspense, useEffect, useRef } from "react";
import { SignIn } from "./SignIn";
import { Unavailable } from "./Unavailable";

// Whoever signs in doesn't wait for what comes after.
const Workspace = lazy(() => import("./Workspace").then((page) => ({ default: page.Workspace })));

export function App({ supabase }: { supabase: SupabaseClient }) {
  return (
    <ChatProvider supabase={supabase}>
      <Page supabase={supabase} />
    </ChatProvider>
  );
}

function Page({ supabase }: { supabase: SupabaseClient }) {
  const { client, session } = useChatContext();
  useFreshPlace(session?.user.id);
  const wasSignedIn = useRef(false);
  if (session) wasSignedIn.current = true;
  if (session === undefined) return <main className="alone" aria-busy="true" />;
  if (session === null) return <SignIn supabase={supabase} wasSignedIn={wasSignedIn.current} />;
  return (
    <ErrorBoundary fallback={<Unavailable />}>
      <Suspense fallback={<main className="alone" aria-busy="true" />}>
        {client && <Workspace client={client} email={session.user.email ?? ""} />}
      </Suspense>
    </ErrorBoundary>
  );
}

/** Whoever comes next doesn't begin where the one before has left. */
function useFreshPlace(userId: string | undefined): void {
  const last = useRef(userId);
  useEffect(() => {
    if (last.current && last.current !== userId) location.replace("#/");
    last.current = userId;
  }, [userId]);
}
