import { afterEach, expect, test, vi } from "vitest";
import type { ChatClient } from "message-persistence-web";
import { download } from "../src/downloads";

afterEach(() => vi.unstubAllGlobals());

test("a file is saved whole, also where a browser can't iterate over a stream", async () => {
  const body = new Response("Half and half").body as ReadableStream;
  Object.defineProperty(body, Symbol.asyncIterator, { value: undefined });
  const headers = {
    "content-disposition": 'attachment; filename="chat.md"',
    link: '<?after=6f1c>; rel="next"',
  };
  const response = { ok: true, body, headers: new Headers(headers) };
  const link = { click: vi.fn(), href: "", download: "" };
  vi.stubGlobal("fetch", async () => response);
  vi.stubGlobal("document", { createElement: () => link });
  const blobs: Blob[] = [];
  vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => {
    blobs.push(blob as Blob);
    return "blob:it";
  });
  const supabase = { auth: { getSession: async () => ({ data: { session: null } }) } };
  const progress = vi.fn();
  const client = { supabase } as unknown as ChatClient;
  const next = await download(client, "export-account", progress);
  expect(next).toBe("export-account?after=6f1c");
  expect(await blobs[0]?.text()).toBe("Half and half");
  expect(link).toMatchObject({ download: "chat.md", href: "blob:it" });
  expect(progress).toHaveBeenLastCalledWith(13);
});
