/** Lets nothing of a text vanish: what markdown would pass over is shown as it was written. */

import type { Definition, FootnoteDefinition, Nodes, Parents, Root, RootContent } from "mdast";

/** Addresses that are links in a text, and of files and sources. */
export const SAFE = /^(https?:|mailto:)/i;
export const SAFE_LINK = /^https?:\/\//i;

const BREAK = /^<br\s*\/?>$/i;

export function visibleSource() {
  return (tree: Root, file: { value: unknown }): void => {
    const used = usedDefinitions(tree);
    replaceIn(tree, (node) => shown(node, String(file.value), used));
  };
}

/** Give a node back as it is, or what is shown in its place. */
function shown(node: RootContent, text: string, used: Set<Nodes>): RootContent[] {
  const source = { type: "text" as const, value: sourceOf(node, text) };
  switch (node.type) {
    case "html":
      return [BREAK.test(node.value) ? { type: "break" } : source];
    case "link":
      if (!SAFE.test(node.url)) return [source];
      return [isBlank(node) ? { ...node, children: [{ type: "text", value: node.url }] } : node];
    case "image":
      return [SAFE.test(node.url) || /^data:/i.test(node.url) ? node : source];
    case "definition":
      return used.has(node) ? [node] : [{ type: "paragraph", children: [source] }];
    case "footnoteDefinition":
      return used.has(node) ? [node] : [labelOf(node), ...node.children];
    case "table": {
      const columns = Math.max(...node.children.map((row) => row.children.length));
      const align = Array.from({ length: columns }, (_, index) => node.align?.[index] ?? null);
      return [{ ...node, align }];
    }
    default:
      return [node];
  }
}

function sourceOf({ position }: Nodes, text: string): string {
  return text.slice(position?.start.offset, position?.end.offset);
}

function labelOf({ label, identifier }: FootnoteDefinition): RootContent {
  const value = `[^${label ?? identifier}]:`;
  return { type: "paragraph", children: [{ type: "text", value }] };
}

function isBlank(node: Nodes): boolean {
  if ("children" in node) return node.children.every(isBlank);
  return node.type === "text" && node.value.trim() === "";
}

/** The first definition of each name that something refers to and that may be followed. */
function usedDefinitions(tree: Root): Set<Nodes> {
  const definitions = new Map<string, Definition | FootnoteDefinition>();
  const names = new Set<string>();
  walk(tree, (node) => {
    const isDefinition = node.type === "definition" || node.type === "footnoteDefinition";
    if (isDefinition && !definitions.has(nameOf(node))) definitions.set(nameOf(node), node);
    if (node.type.endsWith("Reference") && "identifier" in node) names.add(nameOf(node));
  });
  const isUsed = (node: Definition | FootnoteDefinition) =>
    names.has(nameOf(node)) && (node.type === "footnoteDefinition" || SAFE.test(node.url));
  return new Set([...definitions.values()].filter(isUsed));
}

function nameOf({ type, identifier }: { type: string; identifier: string }): string {
  return `${type.startsWith("footnote") ? "^" : ""}${identifier}`;
}

function walk(node: Nodes, visit: (node: Nodes) => void): void {
  visit(node);
  if ("children" in node) for (const child of node.children) walk(child, visit);
}

function replaceIn(parent: Parents, replace: (node: RootContent) => RootContent[]): void {
  const children = (parent.children as RootContent[]).flatMap(replace);
  parent.children = children as never;
  for (const child of children) if ("children" in child) replaceIn(child, replace);
}
