/** What a message's metadata says. Any writer may have put anything there: only what fits is read. */

import type { GeneratedFile, MessageMetadata, ReplyError } from "./types.js";

/** Why a reply failed, in words; null where it did not. */
export function failureOf(metadata: MessageMetadata): ReplyError | null {
  if (metadata.success !== false) return null;
  const error = recordOf(metadata.error);
  return { type: textOf(error?.type), message: textOf(error?.message) };
}

/** Whether a reply ends where it was cut, and not where it was at its end. */
export function isCut({ truncated, finishReason }: MessageMetadata): boolean {
  return truncated === true || finishReason === "length";
}

export function filesOf({ files }: MessageMetadata): GeneratedFile[] {
  if (!Array.isArray(files)) return [];
  return files.filter((file) => textOf(recordOf(file)?.path) !== "");
}

export function engineOf({ engine }: MessageMetadata): string {
  return textOf(engine);
}

function recordOf(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" ? (value as Record<string, unknown> | null) : null;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
