import { expect, test } from "vitest";
import { directionOf, firstPart, isBlank, lastPart } from "../src/core/text";

test.each([
  ["", true],
  [" \n\t\u00a0\u3000", true],
  ["\u200b\u200d\ufeff\u2060\u00ad", true],
  ["\u3164\u115f\u2800\u034f\ufe0f", true],
  ["\u200ba", false],
  ["🎉", false],
  ["0", false],
])("%j shows nothing: %j", (text, blank) => {
  expect(isBlank(text)).toBe(blank);
});

test.each([
  ["Hello שלום", "ltr"],
  ["שלום hello", "rtl"],
  ["1. مرحبا", "rtl"],
  ["", "ltr"],
  [`${"1 ".repeat(600)}שלום`, "ltr"],
])("%j is written %s", (text, direction) => {
  expect(directionOf(text)).toBe(direction);
});

const FAMILY = "👨‍👩‍👧‍👦";

test.each([FAMILY, "🎉", "é̂", "🇩🇪", "👍🏽"])("%s is not cut", (character) => {
  const text = `ab${character}cd`;
  for (let place = 0; place <= text.length; place += 1) {
    const [first, last] = [firstPart(text, place), lastPart(text, text.length - place)];
    expect(first + last).toBe(text);
    const isBefore = place < 2 + character.length;
    expect(first).toBe(isBefore ? "ab".slice(0, place) : text.slice(0, place));
  }
});

test("a text that is shorter is whole", () => {
  expect([firstPart("abc", 10), lastPart("abc", 10)]).toEqual(["abc", "abc"]);
});
