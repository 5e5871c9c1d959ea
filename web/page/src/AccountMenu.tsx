/** What a user can do with all they have: take it along, bring some in, leave. */

import { PersonIcon } from "@radix-ui/react-icons";
import type { ChatClient, ImportReport } from "message-persistence-web";
import { DropdownMenu } from "radix-ui";
import { useRef, useState } from "react";
import { useLocation } from "wouter";
import { download } from "./downloads";
import { size } from "./ExportMenu";

interface AccountMenuProps {
  client: ChatClient;
  email: string;
  onNavigate: () => void;
}

export function AccountMenu({ client, email, onNavigate }: AccountMenuProps) {
  const [state, setState] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const [, go] = useLocation();

  async function busy(work: () => Promise<string>) {
    try {
      setState(await work());
    } catch (error) {
      setState(error instanceof Error ? error.message : "That did not work.");
    }
  }
  const exportAll = () =>
    busy(async () => {
      setState("Exporting");
      let bytes = 0;
      for (let path: string | null = "export-account"; path;) {
        const before = bytes;
        path = await download(client, path, (more) => {
          bytes = before + more;
          setState(`Exporting, ${size(bytes)}`);
        });
      }
      return "";
    });
  const importFile = (chosen: File) =>
    busy(async () => {
      setState("Sending the file");
      const report = await client.endpoints.import(chosen, (done, total) =>
        setState(total ? `Importing, ${done} of ${total} messages` : "Reading the file"),
      );
      client.listChanges.notify();
      return inWords(report);
    });

  return (
    <>
      {state && (
        <p className="uci-hint" role="status">
          {state}
        </p>
      )}
      <input
        ref={file}
        type="file"
        accept=".json,.zip,application/json,application/zip"
        hidden
        aria-label="A file to import"
        onChange={(event) => {
          const chosen = event.target.files?.[0];
          if (chosen) void importFile(chosen);
          event.target.value = "";
        }}
      />
      <DropdownMenu.Root modal={false}>
        <DropdownMenu.Trigger className="uci-row account">
          <PersonIcon aria-hidden /> <span title={email}>{email}</span>
        </DropdownMenu.Trigger>
        <DropdownMenu.Portal>
          <DropdownMenu.Content className="menu" align="start" side="top" sideOffset={4}>
            <DropdownMenu.Item
              className="menu-item"
              onSelect={() => {
                go("/analytics");
                onNavigate();
              }}
            >
              Analytics
            </DropdownMenu.Item>
            <DropdownMenu.Item className="menu-item" onSelect={() => file.current?.click()}>
              Import conversations
            </DropdownMenu.Item>
            <DropdownMenu.Item className="menu-item" onSelect={() => void exportAll()}>
              Export everything
            </DropdownMenu.Item>
            <DropdownMenu.Separator className="menu-line" />
            <DropdownMenu.Item
              className="menu-item"
              onSelect={() => void client.supabase.auth.signOut({ scope: "local" })}
            >
              Sign out
            </DropdownMenu.Item>
          </DropdownMenu.Content>
        </DropdownMenu.Portal>
      </DropdownMenu.Root>
    </>
  );
}

function inWords({ taken, updated, skipped, messages }: ImportReport): string {
  const grown = updated.length ? `, ${updated.length} brought up to date` : "";
  const left = skipped.length ? `, ${skipped.length} skipped` : "";
  return `${taken.length} conversations with ${messages} messages imported${grown}${left}.`;
}
