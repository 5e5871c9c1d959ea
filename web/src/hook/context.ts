/** What a ChatProvider has for the hooks and components below it. */

import type { Session } from "@supabase/supabase-js";
import { createContext, useContext } from "react";
import type { ChatClient } from "../core/client.js";
import type { ChatTexts } from "../texts.js";

interface Chat {
  /** Null where nobody is signed in, and until that is known. */
  client: ChatClient | null;
  /** Null where nobody is signed in, undefined until that is known. */
  session: Session | null | undefined;
  /** Those that are not the package's own. */
  texts?: Partial<ChatTexts>;
}

export const ChatContext = createContext<Chat | null>(null);

export function useChatContext(): Chat {
  const chat = useContext(ChatContext);
  if (!chat) throw new Error("A chat needs a ChatProvider around it.");
  return chat;
}
