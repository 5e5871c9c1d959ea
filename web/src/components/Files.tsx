/** The files that a reply has brought, each to be kept. */

import { DownloadIcon, FileTextIcon } from "@radix-ui/react-icons";
import { filesOf } from "../core/metadata.js";
import type { MessageMetadata } from "../core/types.js";
import { useTexts } from "./texts.js";

interface FilesProps {
  metadata: MessageMetadata;
  code: string | null;
}

export function Files({ metadata, code }: FilesProps) {
  const texts = useTexts();
  const files = filesOf(metadata);
  if (files.length === 0 || !code) return null;
  const only = files.length === 1 ? files[0] : undefined;
  const name = only ? (only.path.split("/").at(-1) ?? only.path) : "generated-files.md";
  return (
    <ul className="uci-files" aria-label={texts.files}>
      {files.map((file) => (
        <li key={file.path}>
          <FileTextIcon aria-hidden /> {file.path}
        </li>
      ))}
      <li>
        <button type="button" onClick={() => save(name, code)}>
          <DownloadIcon aria-hidden /> {texts.download}
        </button>
      </li>
    </ul>
  );
}

export function save(name: string, content: BlobPart): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
