import { expect, test } from "vitest";
import { isCut } from "../src/core/metadata";

test.each([
  [{ truncated: true }, true],
  [{ finishReason: "length" }, true],
  [{ truncated: false, finishReason: "stop" }, false],
  [{ truncated: "yes" }, false],
  [{}, false],
])("a reply whose metadata is %j was cut: %j", (metadata, cut) => {
  expect(isCut(metadata)).toBe(cut);
});
