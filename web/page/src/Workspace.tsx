/** The page of somebody who is signed in: the conversations on one side, one of them on the other. */

import { Cross1Icon, HamburgerMenuIcon } from "@radix-ui/react-icons";
import { type ChatClient, ErrorBoundary, UniversalChatInterface } from "message-persistence-web";
import { lazy, Suspense, useCallback, useState } from "react";
import { Router, useLocation, useRoute } from "wouter";
import { useHashLocation } from "wouter/use-hash-location";
import { ChatHeader } from "./ChatHeader";
import { Sidebar } from "./Sidebar";
import { Unavailable } from "./Unavailable";

const Analytics = lazy(() => import("./Analytics"));

interface WorkspaceProps {
  client: ChatClient;
  email: string;
}

export function Workspace(props: WorkspaceProps) {
  return (
    <Router hook={useHashLocation}>
      <Layout {...props} />
    </Router>
  );
}

function Layout({ client, email }: WorkspaceProps) {
  const [isOpen, setOpen] = useState(false);
  const [, go] = useLocation();
  const [isAnalytics] = useRoute("/analytics");
  const [, conversation] = useRoute("/c/:id");
  const [, hit] = useRoute("/c/:id/:message");
  // One place for every conversation: a new one that gets its id is still the same to the page.
  const { id, message } = { message: undefined, ...(hit ?? conversation ?? { id: undefined }) };
  const show = useCallback((id: string) => go(`/c/${id}`, { replace: true }), [go]);
  return (
    <div
      className="workspace"
      data-menu={isOpen ? "open" : "closed"}
      onKeyDown={(event) => event.key === "Escape" && setOpen(false)}
    >
      <button
        type="button"
        className="uci-icon-button menu-button"
        aria-label={isOpen ? "Close the menu" : "Open the menu"}
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      >
        {isOpen ? <Cross1Icon aria-hidden /> : <HamburgerMenuIcon aria-hidden />}
      </button>
      <Sidebar client={client} email={email} onNavigate={() => setOpen(false)} />
      <button
        type="button"
        className="curtain"
        aria-label="Close the menu"
        tabIndex={-1}
        onClick={() => setOpen(false)}
      />
      <main className="stage">
        {isAnalytics ? (
          <ErrorBoundary fallback={<Unavailable />}>
            <Suspense fallback={<p className="uci-hint">Loading</p>}>
              <Analytics client={client} />
            </Suspense>
          </ErrorBoundary>
        ) : (
          <Chat client={client} id={id?.toLowerCase()} message={message} onConversation={show} />
        )}
      </main>
    </div>
  );
}

interface ChatProps {
  client: ChatClient;
  id?: string;
  message?: string;
  onConversation: (id: string) => void;
}

function Chat({ client, id, message, onConversation }: ChatProps) {
  return (
    <>
      <ChatHeader client={client} id={id} />
      <UniversalChatInterface
        conversationId={id}
        focusMessageId={message}
        onConversation={onConversation}
        persistMessages={true}
      />
    </>
  );
}
