import { afterEach, expect, test, vi } from "vitest";
import { UnsentTexts } from "../src/core/unsent";

afterEach(() => vi.unstubAllGlobals());

/** A tab's storage that holds so many characters. */
function storageOf(most: number) {
  const kept = new Map<string, string>();
  return {
    getItem: (name: string) => kept.get(name) ?? null,
    removeItem: (name: string) => kept.delete(name),
    setItem: (name: string, value: string) => {
      if (value.length > most) throw new DOMException("Full.", "QuotaExceededError");
      kept.set(name, value);
    },
  };
}

test("what was typed is there after a reload, for its user and its place alone", () => {
  vi.stubGlobal("sessionStorage", storageOf(100));
  const unsent = new UnsentTexts("user");
  unsent.write("new", "Half a thou");
  unsent.write("c", "sent");
  unsent.write("c", "");
  const again = new UnsentTexts("user");
  expect([again.read("new"), again.read("c")]).toEqual(["Half a thou", ""]);
  expect(new UnsentTexts("other").read("new")).toBe("");
});

test("what a browser doesn't keep lasts as long as the page, and nothing older comes back", () => {
  vi.stubGlobal("sessionStorage", storageOf(10));
  const unsent = new UnsentTexts("user");
  unsent.write("c", "short");
  unsent.write("c", "long".repeat(10));
  expect(unsent.read("c")).toBe("long".repeat(10));
  expect(new UnsentTexts("user").read("c")).toBe("");
});

test("without a storage it lasts as long as the page", () => {
  vi.stubGlobal("sessionStorage", undefined);
  const unsent = new UnsentTexts("user");
  unsent.write("c", "typed");
  expect(unsent.read("c")).toBe("typed");
});
