import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Chat } from "./Chat";
import { type LoadedChat, loadChat, supabase } from "./chats";
import { SignIn } from "./SignIn";

/** The chat of the address; a new one has an id before it has a message. */
function chatOfAddress(): string {
  const found = location.hash.slice(1);
  if (!found) history.replaceState(null, "", `#${crypto.randomUUID()}`);
  return location.hash.slice(1);
}

function App() {
  const [isSignedIn, setSignedIn] = useState(false);
  const [chat, setChat] = useState<LoadedChat | null>(null);
  const [id] = useState(chatOfAddress);

  useEffect(() => {
    const { data } = supabase.auth.onAuthStateChange((_, session) => setSignedIn(session !== null));
    return () => data.subscription.unsubscribe();
  }, []);
  useEffect(() => {
    if (isSignedIn) void loadChat(id).then(setChat);
  }, [id, isSignedIn]);

  if (!isSignedIn) return <SignIn />;
  return chat ? <Chat id={id} initial={chat} /> : <p>Loading …</p>;
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
