import { useChat } from "@ai-sdk/react";
import { lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { type FormEvent, useState } from "react";
import { type LoadedChat, type Message, stopChat, transport } from "./chats";
import { Parts } from "./Parts";

export function Chat({ id, initial }: { id: string; initial: LoadedChat }) {
  const chat = useChat<Message>({
    id,
    messages: initial.messages,
    resume: initial.openTurn !== null,
    transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const [edited, setEdited] = useState<string>();
  const isBusy = chat.status === "submitted" || chat.status === "streaming";

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const text = String(new FormData(form).get("text"));
    void chat.sendMessage({ text, messageId: edited });
    setEdited(undefined);
    form.reset();
  }

  function stop() {
    void stopChat(id).then(() => chat.stop());
  }

  return (
    <main>
      <ol>
        {chat.messages.map((message) => (
          <li key={message.id} className={message.role} data-id={message.id}>
            <Parts message={message} onApproval={chat.addToolApprovalResponse} />
            {message.role === "user" && (
              <button type="button" onClick={() => setEdited(message.id)}>
                Edit
              </button>
            )}
            {message.role === "assistant" && !isBusy && (
              <button type="button" onClick={() => void chat.regenerate({ messageId: message.id })}>
                Regenerate
              </button>
            )}
          </li>
        ))}
      </ol>
      <p role="status">{chat.status}</p>
      {chat.error && (
        <p role="alert">
          {chat.error.message}{" "}
          <button type="button" onClick={() => void chat.regenerate()}>
            Try again
          </button>
        </p>
      )}
      <form onSubmit={submit}>
        <input name="text" aria-label={edited ? "Your new message" : "Your message"} required />
        <button type="submit" disabled={isBusy}>
          Send
        </button>
        {isBusy && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
      </form>
    </main>
  );
}
