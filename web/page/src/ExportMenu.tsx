/** The conversation as a file. */

import { DownloadIcon } from "@radix-ui/react-icons";
import type { ChatClient } from "message-persistence-web";
import { DropdownMenu } from "radix-ui";
import { useState } from "react";
import { download } from "./downloads";

const FORMATS = [
  { format: "pdf", label: "PDF, to read and send" },
  { format: "markdown", label: "Markdown, to edit" },
  { format: "json", label: "JSON, to keep and import" },
];

export function ExportMenu({ client, id }: { client: ChatClient; id: string }) {
  const [state, setState] = useState("");

  async function fetchAs(format: string) {
    setState("Exporting");
    try {
      const path = `export-conversation?conversationId=${id}&format=${format}`;
      await download(client, path, (bytes) => setState(`Exporting, ${size(bytes)}`));
      setState("");
    } catch (error) {
      setState(error instanceof Error ? error.message : "The export has failed.");
    }
  }

  return (
    <>
      <span className="hint-inline" role="status">
        {state}
      </span>
      <DropdownMenu.Root modal={false}>
        <DropdownMenu.Trigger className="uci-icon-button" aria-label="Export" title="Export">
          <DownloadIcon aria-hidden />
        </DropdownMenu.Trigger>
        <DropdownMenu.Portal>
          <DropdownMenu.Content className="menu" align="end" sideOffset={4}>
            {FORMATS.map(({ format, label }) => (
              <DropdownMenu.Item
                key={format}
                className="menu-item"
                onSelect={() => void fetchAs(format)}
              >
                {label}
              </DropdownMenu.Item>
            ))}
          </DropdownMenu.Content>
        </DropdownMenu.Portal>
      </DropdownMenu.Root>
    </>
  );
}

export function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
