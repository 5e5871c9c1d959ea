import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const SHARED = ["tokens", "chat", "message", "markdown", "composer", "list"]; // what a host app gets

test.each(SHARED)("%s.css says nothing about what is outside of the chat", (name) => {
  const css = readFileSync(join(import.meta.dirname, `../src/styles/${name}.css`), "utf8")
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/@(?:import|media)[^;{]*[;{]/g, "");
  const selectors = [...css.matchAll(/([^{}]+)\{/g)].flatMap(([, each = ""]) =>
    each.includes(":is(") ? [each.trim()] : each.split(",").map((one) => one.trim()),
  );
  const own = /^(?:\.uci\b|\.uci-|:where\(\.uci|:where\(:root\)$|@keyframes uci-|\d+%)/;
  expect(selectors.length).toBeGreaterThan(0);
  expect(selectors.filter((each) => each && !own.test(each))).toEqual([]);
  const variables = [...css.matchAll(/(?<=[\s({])--[\w-]+/g)].map(([variable]) => variable);
  const others = variables.filter((each) => !each.startsWith("--uci-"));
  expect(others.filter((each) => !each.startsWith("--lightningcss-"))).toEqual([]);
  expect(css).not.toContain("color-scheme:");
});
