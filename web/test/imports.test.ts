import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const SRC = join(import.meta.dirname, "../src");
const imports = new Map(
  readdirSync(SRC, { recursive: true, encoding: "utf8" })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => [moduleOf(path), importsOf(path)]),
);

/** What a file is called by: a folder is its index. */
function moduleOf(path: string): string {
  return path.replace(/\.(js|tsx?)$/, "").replace(/\/(index)?$/, "");
}

/** Modules that a file imports, types too: those of this package by their path in it. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(SRC, path), "utf8");
  return [...text.matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, name = ""]) =>
    name.startsWith(".") ? moduleOf(join(dirname(path), name)) : name,
  );
}

function circleFrom(path: string, way: string[] = []): string[] | null {
  if (way.includes(path)) return [...way, path];
  for (const next of imports.get(path) ?? []) {
    const circle = circleFrom(next, [...way, path]);
    if (circle) return circle;
  }
  return null;
}

test("no import leads back to where it began", () => {
  for (const path of imports.keys()) expect(circleFrom(path)).toBeNull();
});

test("the core knows nothing of React, nor of what shows it", () => {
  const core = [...imports].filter(([path]) => path.startsWith("core/"));
  const outside = core.flatMap(([, names]) => names).filter((name) => !name.startsWith("core/"));
  expect(outside.filter((name) => /react|\.\.|^(hook|components|texts)/.test(name))).toEqual([]);
  expect(core.length).toBeGreaterThan(10);
});

test("the page is an app like any other: it knows the package by its entries alone", () => {
  const page = join(import.meta.dirname, "../page/src");
  const texts = readdirSync(page).map((name) => readFileSync(join(page, name), "utf8"));
  expect(texts.some((text) => text.includes('from "message-persistence-web"'))).toBe(true);
  expect(texts.filter((text) => /"\.\.\/(?!styles)/.test(text))).toEqual([]);
});

test("no table and no schema is named: a project may have them under another name", () => {
  const texts = ["../src", "../page/src"].flatMap((name) => {
    const folder = join(import.meta.dirname, name);
    const paths = readdirSync(folder, { recursive: true, encoding: "utf8" });
    return paths
      .filter((path) => /\.tsx?$/.test(path))
      .map((path) => readFileSync(join(folder, path), "utf8"));
  });
  expect(texts.filter((text) => /\.(from|rpc|schema)\(\s*["'`]/.test(text))).toEqual([]);
});
