/**
 * The parts of a message, in the AI SDK's shapes, as they are shown. Any writer may have put
 * anything there: what isn't known is shown by its name, and only what fits is read.
 */

export interface Part {
  type: string;
  [key: string]: unknown;
}

export type ToolState =
  "writing" | "running" | "asking" | "approved" | "denied" | "done" | "failed";

export type ShownPart =
  | { kind: "text"; text: string }
  | { kind: "reasoning"; text: string }
  | { kind: "tool"; name: string; state: ToolState; input: string; output: string; error: string }
  | { kind: "file"; name: string; mediaType: string; url: string }
  | { kind: "source"; title: string; url: string }
  | { kind: "data"; name: string; value: string };

const TOOL_STATES: Record<string, ToolState> = {
  "input-streaming": "writing",
  "input-available": "running",
  "approval-requested": "asking",
  "approval-responded": "approved",
  "output-available": "done",
  "output-error": "failed",
  "output-denied": "denied",
};

/** What is to be seen of a message's parts, in their order; nothing of what only divides them. */
export function shownParts(parts: unknown): ShownPart[] {
  if (!Array.isArray(parts)) return [];
  return parts.flatMap((part: unknown) => {
    const shown = isRecord(part) ? shownPart(part) : null;
    return shown ? [shown] : [];
  });
}

function shownPart(part: Record<string, unknown>): ShownPart | null {
  const type = textOf(part.type);
  if (type.startsWith("tool-") || type === "dynamic-tool") return toolOf(part, type);
  switch (type) {
    case "text":
    case "reasoning":
      return textOf(part.text) ? { kind: type, text: textOf(part.text) } : null;
    case "file":
    case "reasoning-file":
      return fileOf(part);
    case "source-url":
      return { kind: "source", title: textOf(part.title), url: textOf(part.url) };
    case "source-document": {
      const title = [textOf(part.title), textOf(part.filename)].filter(Boolean).join(", ");
      return { kind: "source", title, url: "" };
    }
    case "step-start":
      return null;
    default:
      return dataOf(part, type);
  }
}

function toolOf(part: Record<string, unknown>, type: string): ShownPart {
  const name = type === "dynamic-tool" ? textOf(part.toolName) : type.slice("tool-".length);
  const approval = isRecord(part.approval) ? part.approval : {};
  const state = TOOL_STATES[textOf(part.state)] ?? "running";
  return {
    kind: "tool",
    name,
    state: state === "approved" && approval.approved === false ? "denied" : state,
    input: jsonOf(part.input ?? part.rawInput),
    output: jsonOf(part.output),
    error: textOf(part.errorText) || textOf(approval.reason),
  };
}

function fileOf(part: Record<string, unknown>): ShownPart {
  const [mediaType, url] = [textOf(part.mediaType), textOf(part.url)];
  const isInline = /^data:/i.test(url);
  const name = textOf(part.filename) || (isInline ? mediaType : url);
  return { kind: "file", name, mediaType, url };
}

function dataOf({ type: _, ...rest }: Record<string, unknown>, type: string): ShownPart {
  const value = type.startsWith("data-") && "data" in rest ? rest.data : rest;
  return { kind: "data", name: type.replace(/^data-/, ""), value: jsonOf(value) };
}

const INLINE = /^data:([^,;]*)((?:;[^,;]*)*),/i;

/** The bytes of a file that a message brings along itself; null where it lies elsewhere. */
export function inlineFile(url: string): Uint8Array<ArrayBuffer> | null {
  const [head, , options = ""] = INLINE.exec(url) ?? [];
  if (head === undefined) return null;
  const body = url.slice(head.length);
  try {
    const isBase64 = /;base64$/i.test(options);
    if (!isBase64) return new TextEncoder().encode(decodeURIComponent(body));
    return Uint8Array.from(atob(decodeURIComponent(body)), (each) => each.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Pictures that a browser draws and that can't ask for anything. */
export function isPicture(mediaType: string): boolean {
  return /^image\/(png|jpe?g|gif|webp|avif|bmp)$/i.test(mediaType);
}

function jsonOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
