// promise hostile content: red on all markdown is parsed; cells of tables not counted
import { expect, test } from "vitest";
import { isWithinLimits } from "../src/components/markdownLimits";

test.each([
  ["emphasis that never ends", "_a*".repeat(20_000)],
  ["brackets", "[".repeat(20_000)],
  ["comments that never end", "a <!-- ".repeat(5_000)],
  ["instructions that never end", "<?".repeat(10_000)],
  ["formulas that never end", "a\\(".repeat(5_000)],
  ["quotes in quotes", ">".repeat(20_000)],
  ["lists in lists on one line", "- ".repeat(20_000)],
  [
    "lists in lists",
    Array.from({ length: 300 }, (_, depth) => `${"  ".repeat(depth)}- a`).join("\n"),
  ],
  [
    "a wide table of short rows",
    `${"|a".repeat(5_000)}|\n${"|-".repeat(5_000)}|\n${"a\n".repeat(19_000)}`,
  ],
  [
    "a wide table in a quote",
    `>${"|a".repeat(5_000)}|\n>${"|-".repeat(5_000)}|\n${"> a\n".repeat(9_000)}`,
  ],
  [
    "many tables of short rows",
    `${"|a".repeat(100)}|\n${"|-".repeat(100)}|\n${"a\n".repeat(190)}\n`.repeat(75),
  ],
  [
    "what follows a fence with another kind of fence in it",
    `\`\`\`\n~~~\n\`\`\`\n${"[".repeat(20_000)}`,
  ],
  ["what follows a fence that is closed by a longer one", `~~~\n~~~~\n${"[".repeat(20_000)}`],
  ["what follows backticks that are no fence", `\`\`\` a\`\n${"_a*".repeat(15_000)}`],
  ["what follows a list's fence", `- \`\`\`\n  \`\`\`\n${"[".repeat(20_000)}`],
  ["lines that end as in the eighties", `\`\`\`\r\`\`\`\r${"[".repeat(20_000)}`],
  ["a space that is no blank line", `${"[".repeat(1_500)}\n\u00a0\n`.repeat(20)],
])("%s is not read as markdown", (_, text) => {
  expect(isWithinLimits(text)).toBe(false);
});

test.each([
  ["a long list", "- **a** and [b](c)\n\n".repeat(2_000)],
  ["code with many marks", `\`\`\`json\n${"[_*]".repeat(5_000)}\n\`\`\``],
  ["code with another fence in it", `\`\`\`\`\n\`\`\`\n${"[_*]".repeat(5_000)}\n\`\`\`\`\n`],
  ["a table", `${"|a".repeat(10)}|\n${"|-".repeat(10)}|\n${`${"|a".repeat(10)}|\n`.repeat(500)}`],
  ["code that a tag stands before", `<div>\n\`\`\`\n\n${"[_*]".repeat(5_000)}`],
  ["a line across", "-".repeat(200)],
  ["a quote in a quote", "> > said"],
])("%s is", (_, text) => {
  expect(isWithinLimits(text)).toBe(true);
});
