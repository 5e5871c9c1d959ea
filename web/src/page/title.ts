import { useEffect } from "react";
import { isBlank } from "../core/text";
import type { ConversationRow } from "../core/types";

/** Let the tab be called what it shows. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

/** What a conversation is called, also where nothing of its title can be seen. */
export function titleOf({ title }: Pick<ConversationRow, "title">): string {
  return isBlank(title) ? "Untitled" : title;
}
