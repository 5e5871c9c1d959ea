import { expect, test } from "vitest";
import { isTame } from "../src/components/tame";

test.each([
  ["emphasis that never ends", "_a*".repeat(20_000)],
  ["brackets", "[".repeat(20_000)],
  ["quotes in quotes", ">".repeat(20_000)],
  ["lists in lists on one line", "- ".repeat(20_000)],
  [
    "lists in lists",
    Array.from({ length: 300 }, (_, depth) => `${"  ".repeat(depth)}- a`).join("\n"),
  ],
])("%s is not read as markdown", (_, text) => {
  expect(isTame(text)).toBe(false);
});

test.each([
  ["a long list", "- **a** and [b](c)\n\n".repeat(2_000)],
  ["code with many marks", `\`\`\`json\n${"[_*]".repeat(5_000)}\n\`\`\``],
  ["a line across", "-".repeat(200)],
  ["a quote in a quote", "> > said"],
])("%s is", (_, text) => {
  expect(isTame(text)).toBe(true);
});
