/** The texts that a component shows, and what they say of an error or a title. */

import { useContext, useMemo } from "react";
import { isBlank } from "../core/text.js";
import { ChatContext } from "../hook/context.js";
import { type ChatTexts, TEXTS } from "../texts.js";

export function useTexts(): ChatTexts {
  const texts = useContext(ChatContext)?.texts;
  return useMemo(() => ({ ...TEXTS, ...texts }), [texts]);
}

/** What is said of an error. */
export function errorText({ errors }: ChatTexts, error: { code: string; message: string }): string {
  return errors[error.code] ?? error.message;
}

/** What a conversation is called, also where nothing of its title can be seen. */
export function titleOf({ title }: { title: string }, { untitled }: ChatTexts): string {
  return isBlank(title) ? untitled : title;
}
