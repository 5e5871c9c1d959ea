import { type ChatAddToolApproveResponseFunction, getToolName, isToolUIPart } from "ai";
import type { Message } from "./chats";

interface PartsProps {
  message: Message;
  onApproval: ChatAddToolApproveResponseFunction;
}

export function Parts({ message, onApproval }: PartsProps) {
  return message.parts.map((part, index) => {
    if (part.type === "text") return <p key={index}>{part.text}</p>;
    if (part.type === "reasoning") return <em key={index}>{part.text}</em>;
    if (part.type === "source-url") {
      return (
        <a key={index} href={part.url}>
          {part.title ?? part.url}
        </a>
      );
    }
    if (!isToolUIPart(part)) return null;
    return (
      <div key={index} className="tool" data-state={part.state}>
        {getToolName(part)}: {part.state}
        {part.state === "output-available" && <code>{JSON.stringify(part.output)}</code>}
        {part.state === "approval-requested" && (
          <>
            <button
              type="button"
              onClick={() => void onApproval({ id: part.approval.id, approved: true })}
            >
              Approve
            </button>
            <button
              type="button"
              onClick={() => void onApproval({ id: part.approval.id, approved: false })}
            >
              Deny
            </button>
          </>
        )}
      </div>
    );
  });
}
