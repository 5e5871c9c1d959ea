import { type FormEvent, useState } from "react";
import { supabase } from "./chats";

export function SignIn() {
  const [problem, setProblem] = useState("");

  async function signIn(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const account = { email: String(fields.get("email")), password: String(fields.get("password")) };
    const { error } = await supabase.auth.signInWithPassword(account);
    setProblem(error?.message ?? "");
  }

  return (
    <form onSubmit={(event) => void signIn(event)}>
      <input name="email" aria-label="E-mail" type="email" autoComplete="username" />
      <input name="password" aria-label="Password" type="password" autoComplete="current-password" />
      <button type="submit">Sign in</button>
      <p role="alert">{problem}</p>
    </form>
  );
}
