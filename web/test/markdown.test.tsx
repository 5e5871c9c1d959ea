import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { Markdown } from "../src/components/Markdown";

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', "#x27": "'" };

const htmlOf = (markdown: string) => renderToStaticMarkup(<Markdown text={markdown} />);
const visible = (markdown: string) => textOf(htmlOf(markdown));

/** What a reader sees of a page: a break is a space, and no button has words. */
function textOf(html: string): string {
  return html
    .replace(/<[^>]+>/g, (tag) => (/^<\/?(?:br|p|li|td|th|h\d|pre|tr|div)\b/.test(tag) ? " " : ""))
    .replace(/&([^;]+);/g, (_, name: string) => ENTITIES[name] ?? "?")
    .replace(/\s+/g, " ")
    .trim();
}

/** The addresses and titles that links bring along. */
function attributesOf(html: string): string {
  return [...html.matchAll(/ (?:href|title)="([^"]*)"/g)].map(([, value]) => value).join(" ");
}

test.each([
  ["Replace <your-api-key> and use List<String>.", undefined],
  ["if a<b and c>d", undefined],
  ["<details>", undefined],
  ["<!-- a comment -->", undefined],
  ["one<br>two<br/>three", "one two three"],
  ["| a | b |\n|---|---|\n| one<br>two | <T> | more |", "a b one two <T> more"],
  ["[note]: something", undefined],
  ["[^1]: nobody refers to it", undefined],
  ["[run](javascript:alert) and [this](./README.md)", undefined],
  ["[](https://example.com/)", "https://example.com/"],
  ["1~2 hours, 3~4 hours", undefined],
  ["~~gone~~", "gone"],
])("of %j is seen %j", (markdown, seen = markdown) => {
  expect(visible(markdown)).toBe(seen);
});

test("bold ends before full-width punctuation", () => {
  expect(htmlOf("**强调。**后面，**「引用」**的")).toContain(
    "<strong>强调。</strong>后面，<strong>「引用」</strong>的",
  );
});

/** The formulas that are found in a text, as they were written. */
function formulas(markdown: string): string[] {
  const found = htmlOf(markdown).matchAll(
    /class="uci-formula[^"]*"><span hidden=""><\/span><code>([^<]*)</g,
  );
  return [...found].map(([, source = ""]) => source);
}

describe("mathematics", () => {
  test.each([
    ["so \\( x_1 * y_2 \\) holds", ["\\( x_1 * y_2 \\)"]],
    ["\\[ a = b \\] and $$c$$", ["\\[ a = b \\]", "$$c$$"]],
    ["$x^2$, $n$th, $3 x + 2$", ["$x^2$", "$n$", "$3 x + 2$"]],
    ["\\[\nE = a\n  + b\n- c\n\n= d\n\\]\nend", ["E = a\n  + b\n- c\n\n= d"]],
    ["\\[\n\\[\nx\n\\]", ["x"]],
    ["> $$\n> x\n> $$", ["x"]],
    ["```math\nx\n```", ["x"]],
    ["\\( a \\\\) b \\)", ["\\( a \\\\) b \\)"]],
  ])("is found in %j", (markdown, sources) => {
    expect(formulas(markdown)).toEqual(sources);
  });

  test.each([
    "It costs $5 and $10.",
    "From $20 per month to 15$ a day, $20/month and 15$",
    "US$5 and CA$10, $AAPL and $GOOG",
    "echo $HOME/bin:$PATH",
    "a \\$5$ bill",
    "\\[1\\] and \\[not a link\\](url)",
    "`$x$` and `\\(x\\)`",
    "```\n$$\nx\n$$\n```",
    "a\\(b",
    "\\[\n```\ncode\n```\n\\]",
    "an empty $$ $$ and \\(\\)",
  ])("is not what %j says", (markdown) => {
    expect(formulas(markdown)).toEqual([]);
  });
});

/** Random numbers, the same at each run. */
function randomOf(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * most);
  };
}

const SAMPLES = Number(process.env.SAMPLES ?? 1_000);
const LETTERS = "abcdefghij";
const MARKUP = ["<", ">", "[", "]", "(", ")", "*", "_", "~", "`", "#", "|", "-", "!", "^", "$"];
const SPACES = [
  " ",
  " ",
  "\n",
  "\n\n",
  "\n|-|-|\n",
  "\n> ",
  "\n- ",
  "\n    ",
  "\n```\n",
  "<br>",
  "\\",
];

function randomText(random: (most: number) => number): string {
  const kinds = [LETTERS, LETTERS, MARKUP, SPACES];
  return Array.from({ length: 5 + random(60) }, () => {
    const kind = kinds[random(kinds.length)] ?? LETTERS;
    return kind[random(kind.length)];
  }).join("");
}

function countOf(text: string, letter: string): number {
  return text.split(letter).length - 1;
}

test("every letter of a random text is seen, or is where a link leads", () => {
  for (let seed = 0; seed < SAMPLES; seed += 1) {
    const markdown = randomText(randomOf(seed));
    const html = htmlOf(markdown);
    const shown = textOf(html) + attributesOf(html);
    const stored = markdown.replaceAll("<br>", "");
    const lost = [...LETTERS, "<"].filter((each) => countOf(shown, each) < countOf(stored, each));
    expect(lost, JSON.stringify(markdown)).toEqual([]);
  }
}, 30_000);

const PIECES: ((word: string) => string)[] = [
  (word) => `<${word}>`,
  (word) => `</${word}>`,
  (word) => `<${word} id="${word}" onclick='${word}'/>`,
  (word) => `List<${word}>`,
  (word) => `<!-- ${word} -->`,
  (word) => `a<${word} and c>${word}`,
];
const AROUND: ((piece: string) => string)[] = [
  (piece) => piece,
  (piece) => `**${piece}** `,
  (piece) => `\n\n# ${piece}\n\n`,
  (piece) => `\n\n- ${piece}\n`,
  (piece) => `\n\n> ${piece}\n\n`,
  (piece) => `\n\n| a | b |\n|---|---|\n| ${piece} | b | ${piece} |\n\n`,
  (piece) => ` \`${piece}\` `,
  (piece) => `\n\n~~~\n${piece}\n~~~\n\n`,
  (piece) => ` [${piece}](https://example.com) `,
  (piece) => ` [${piece}](./relative) `,
  (piece) => `\n\n[^${"n"}]: ${piece}\n\n`,
];

test("every tag of a random text is seen as it was written", () => {
  for (let seed = 0; seed < SAMPLES; seed += 1) {
    const random = randomOf(seed);
    const tags: string[] = [];
    const parts = Array.from({ length: 1 + random(6) }, (_, index) => {
      const tag = PIECES[random(PIECES.length)]?.(`word${index}`) ?? "";
      tags.push(tag);
      return AROUND[random(AROUND.length)]?.(tag) ?? "";
    });
    const markdown = parts.join(" ");
    const seen = visible(markdown);
    for (const tag of tags) expect(seen, JSON.stringify(markdown)).toContain(tag);
  }
}, 30_000);
