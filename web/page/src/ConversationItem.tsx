/** One conversation of the list, and what can be done with it. */

import {
  ArchiveIcon,
  DotsHorizontalIcon,
  Pencil1Icon,
  ResetIcon,
  TrashIcon,
} from "@radix-ui/react-icons";
import {
  type ChatClient,
  type ConversationRow,
  TEXTS,
  timeOf,
  titleOf,
} from "message-persistence-web";
import { DropdownMenu } from "radix-ui";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { ConfirmDialog, PromptDialog } from "./Dialogs";

interface ConversationItemProps {
  row: ConversationRow;
  client: ChatClient;
  isCurrent: boolean;
  onNavigate: () => void;
}

export function ConversationItem({ row, client, isCurrent, onNavigate }: ConversationItemProps) {
  const [dialog, setDialog] = useState<"rename" | "delete" | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [, go] = useLocation();
  const title = titleOf(row, TEXTS);
  const isArchived = row.archived_at !== null;

  function busy(change: Promise<void>): Promise<void> {
    setBusy(true);
    return change.finally(() => setBusy(false));
  }
  const archive = () =>
    busy(client.update(row.id, { archived: !isArchived })).catch(() => undefined);
  async function remove() {
    await busy(client.remove(row.id));
    if (isCurrent) go("/");
  }

  return (
    <li className="uci-conversation" data-current={isCurrent || undefined} aria-busy={isBusy}>
      <Link
        href={`/c/${row.id}`}
        className="uci-conversation-name"
        dir="auto"
        aria-current={isCurrent ? "page" : undefined}
        title={`${title} (${timeOf(row.updated_at)})`}
        onClick={onNavigate}
      >
        {title}
      </Link>
      <DropdownMenu.Root modal={false}>
        <DropdownMenu.Trigger className="uci-icon-button" aria-label={`More about ${title}`}>
          <DotsHorizontalIcon aria-hidden />
        </DropdownMenu.Trigger>
        <DropdownMenu.Portal>
          <DropdownMenu.Content className="menu" align="start" sideOffset={4}>
            <DropdownMenu.Item className="menu-item" onSelect={() => setDialog("rename")}>
              <Pencil1Icon aria-hidden /> Rename
            </DropdownMenu.Item>
            <DropdownMenu.Item className="menu-item" onSelect={() => void archive()}>
              {isArchived ? <ResetIcon aria-hidden /> : <ArchiveIcon aria-hidden />}
              {isArchived ? "Restore" : "Archive"}
            </DropdownMenu.Item>
            <DropdownMenu.Item className="menu-item uci-bad" onSelect={() => setDialog("delete")}>
              <TrashIcon aria-hidden /> Delete
            </DropdownMenu.Item>
          </DropdownMenu.Content>
        </DropdownMenu.Portal>
      </DropdownMenu.Root>
      {dialog === "rename" && (
        <PromptDialog
          title="Rename the conversation"
          label="Title"
          initial={row.title}
          action="Rename"
          onClose={() => setDialog(null)}
          onConfirm={(title) => busy(client.update(row.id, { title }))}
        />
      )}
      {dialog === "delete" && (
        <ConfirmDialog
          title="Delete this conversation?"
          text={
            <>
              “<bdi>{title}</bdi>” and everything in it will be gone for good.
            </>
          }
          action="Delete"
          onClose={() => setDialog(null)}
          onConfirm={remove}
        />
      )}
    </li>
  );
}
