// promise hostile content: red on a source that links wherever it says
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { Message } from "../src/components/Message";
import { Parts } from "../src/components/Parts";
import { inlineFile, isPicture, type Part, shownParts } from "../src/core/parts";
import { row } from "./rows";

const htmlOf = (...parts: Part[]) => renderToStaticMarkup(<Parts parts={parts} role="assistant" />);

const TOOL = { type: "tool-weather", toolCallId: "1", input: { city: "Paris" } };

describe("what is shown of parts", () => {
  test.each([
    ["input-streaming", "writing its input"],
    ["input-available", "no result yet"],
    ["approval-requested", "asks for approval"],
    ["approval-responded", "approved"],
    ["output-available", "done"],
    ["output-denied", "denied"],
    ["output-error", "failed"],
  ])("a tool call that is %s is %s", (state, words) => {
    const html = htmlOf({ ...TOOL, state, output: "Sunny", errorText: "No such city." });
    for (const seen of ["weather", words, "Paris", "Sunny", "No such city."]) {
      expect(html).toContain(seen);
    }
  });

  test("an approval that was refused is denied, and says why", () => {
    const approval = { id: "a", approved: false, reason: "Too dear." };
    const html = htmlOf({ ...TOOL, state: "approval-responded", approval });
    expect(html).toContain("denied");
    expect(html).toContain("Too dear.");
  });

  test("reasoning and data are folded and named", () => {
    const html = htmlOf(
      { type: "reasoning", text: "It rains." },
      { type: "step-start" },
      { type: "data-forecast", data: { rain: true } },
      { type: "from-tomorrow", what: "is new" },
      { type: "text", text: "Take an *umbrella*." },
    );
    expect(html.match(/<details/g)).toHaveLength(3);
    expect(html).not.toContain("<details open");
    for (const seen of ["Reasoning", "It rains.", "forecast", "from-tomorrow", "is new"]) {
      expect(html).toContain(seen);
    }
    expect(html).toContain("<em>umbrella</em>");
  });

  test.each(["javascript:alert(1)", "data:text/html,x", "//elsewhere.example", "vbscript:x"])(
    "a source or file at %s is text, not a link",
    (url) => {
      const html = htmlOf(
        { type: "source-url", sourceId: "1", url, title: "Title" },
        { type: "file", mediaType: "text/plain", url },
      );
      expect(html).not.toContain("href");
      expect(html).not.toContain("src=");
      expect(html).toContain("Title");
    },
  );

  test("sources side by side are one list of links", () => {
    const html = htmlOf(
      { type: "source-url", sourceId: "1", url: "https://one.example/", title: "One" },
      { type: "source-url", sourceId: "2", url: "http://two.example/" },
      { type: "source-document", sourceId: "3", mediaType: "x/y", title: "A book" },
    );
    expect(html.match(/<ul/g)).toHaveLength(1);
    expect(html.match(/<a href="http/g)).toHaveLength(2);
    expect(html).toContain("A book");
  });

  test("parts of any shape are no reason to fail", () => {
    const odd = [null, 1, [], {}, { type: 2 }, { type: "file", url: {}, mediaType: [] }];
    const more = [{ type: "text", text: {} }, { type: "tool-x" }, { type: "dynamic-tool" }];
    expect(() => htmlOf(...([...odd, ...more] as never[]))).not.toThrow();
    expect(shownParts({ length: 3 })).toEqual([]);
  });

  test("a reply without text of its own shows the sentence that stands for it", () => {
    const failed = { ...row(2), content: "The AI failed.", parts: [{ ...TOOL, state: "x" }] };
    expect(renderToStaticMarkup(<Message message={failed} />)).toContain("The AI failed.");
    const onlyTool = { ...failed, content: "" };
    expect(renderToStaticMarkup(<Message message={onlyTool} />)).not.toContain("Nothing to see");
  });
});

describe("files that come with a message", () => {
  test.each([
    ["data:text/plain;base64,SGk=", "Hi"],
    ["data:text/plain;charset=utf-8;base64,SGk%3D", "Hi"],
    ["data:text/plain,Hi%20there", "Hi there"],
    ["DATA:,Hi", "Hi"],
  ])("%s holds %j", (url, text) => {
    expect(new TextDecoder().decode(inlineFile(url) ?? undefined)).toBe(text);
  });

  test.each(["data:text/plain;base64,***", "data:text/plain", "https://one.example/", "data:,%"])(
    "%s holds nothing",
    (url) => expect(inlineFile(url)).toBeNull(),
  );

  test.each([
    ["image/png", true],
    ["image/svg+xml", false],
    ["text/html", false],
  ])("%s is a picture: %j", (type, isOne) => expect(isPicture(type)).toBe(isOne));
});
