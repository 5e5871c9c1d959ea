import { useCallback, useRef, useState } from "react";
import type { MessageRow } from "../core/types.js";
import type { UniversalAIChat } from "../hook/chat.js";
import { EditMessage } from "./EditMessage.js";

/** The message that is being edited: one at a time; what was typed outlasts scrolling away. */
export function useEditing(chat: UniversalAIChat, onSent: () => void) {
  const [id, setId] = useState<string | null>(null);
  const typed = useRef("");
  const begin = useCallback((messageId: string) => {
    typed.current = "";
    setId(messageId);
  }, []);
  const editorOf = (message: MessageRow) =>
    message.id === id ? (
      <EditMessage
        initial={typed.current || message.content}
        onType={(text) => {
          typed.current = text;
        }}
        onCancel={() => setId(null)}
        onSend={async (text) => {
          await chat.edit(message.id, text);
          setId(null);
          onSent();
        }}
      />
    ) : undefined;
  return { begin, editorOf };
}
