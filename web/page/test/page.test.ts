import { afterEach, expect, test, vi } from "vitest";
import { storage } from "../src/storage";
import { createPageClient } from "../src/supabase";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const FULL = {
  getItem: () => null,
  removeItem: () => undefined,
  setItem: () => {
    throw new DOMException("Full.", "QuotaExceededError");
  },
};

test("what a full storage doesn't keep lasts as long as the page", () => {
  vi.stubGlobal("localStorage", FULL);
  storage.setItem("name", "value");
  expect(storage.getItem("name")).toBe("value");
  storage.removeItem("name");
  expect(storage.getItem("name")).toBeNull();
});

test("a clock that is hours ahead, and a storage that is full, leave one signed in", async () => {
  vi.stubGlobal("localStorage", FULL);
  const issued = Math.floor(Date.now() / 1000);
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (input: string) => {
    asked.push(String(input));
    return Response.json({
      access_token: "a.b.c",
      refresh_token: "refresh",
      token_type: "bearer",
      expires_in: 3600,
      expires_at: issued + 3600,
      user: { id: "user" },
    });
  });
  vi.useFakeTimers({ now: Date.now() + 5 * 3_600_000, toFake: ["Date"] });
  const client = createPageClient("http://stack.test", "key");
  const { error } = await client.auth.signInWithPassword({ email: "a@b.c", password: "secret" });
  expect(error).toBeNull();
  for (let time = 0; time < 3; time += 1) {
    const { data } = await client.auth.getSession();
    expect(data.session?.access_token).toBe("a.b.c");
  }
  expect(asked).toHaveLength(1);
  await client.auth.stopAutoRefresh();
});
