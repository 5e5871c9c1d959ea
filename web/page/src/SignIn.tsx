/** Sign in, or sign up: one form. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { type FormEvent, useState } from "react";
import { useTitle } from "./title";

type Way = "in" | "up";

const WORDS = {
  in: {
    title: "Sign in",
    action: "Sign in",
    other: "Create an account",
    autoComplete: "current-password",
  },
  up: {
    title: "Create an account",
    action: "Sign up",
    other: "Sign in instead",
    autoComplete: "new-password",
  },
} as const;

interface SignInProps {
  supabase: SupabaseClient;
  /** Somebody was, until a moment ago, and may not know that they are no more. */
  wasSignedIn: boolean;
}

export function SignIn({ supabase, wasSignedIn }: SignInProps) {
  const [way, setWay] = useState<Way>("in");
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const words = WORDS[way];
  useTitle(words.title);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const account = { email: String(form.get("email")), password: String(form.get("password")) };
    setBusy(true);
    setProblem("");
    setProblem(await enter(supabase, way, account).catch(() => "That did not work. Try again."));
    setBusy(false);
  }

  return (
    <main className="alone sign-in">
      <img src="/icon.svg" alt="" width="44" height="44" />
      <h1>{words.title}</h1>
      {wasSignedIn ? (
        <p role="status">
          You are signed out. What you had written is kept until you sign in again.
        </p>
      ) : (
        <p>Conversations that are never lost: every message is stored before the AI starts.</p>
      )}
      <form onSubmit={submit}>
        <label>
          E-mail
          <input name="email" type="email" autoComplete="email" required />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            minLength={6}
            autoComplete={words.autoComplete}
            required
          />
        </label>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" className="button primary" disabled={isBusy}>
          {isBusy ? "One moment" : words.action}
        </button>
      </form>
      <button type="button" className="uci-link" onClick={() => setWay(way === "in" ? "up" : "in")}>
        {words.other}
      </button>
    </main>
  );
}

/** Return what stood in the way, in words; nothing where it went well. */
async function enter(
  supabase: SupabaseClient,
  way: Way,
  account: { email: string; password: string },
): Promise<string> {
  if (way === "in") {
    const { error } = await supabase.auth.signInWithPassword(account);
    return error?.message ?? "";
  }
  const { data, error } = await supabase.auth.signUp(account);
  if (error) return error.message;
  return data.session ? "" : "Look into your mail: a link there confirms the address.";
}
