/** The conversations that are open in this tab, each once, however many parts of the page show it. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { Conversation } from "./conversation.js";
import type { Endpoints } from "./endpoints.js";
import { newestSeq } from "./state.js";

export class OpenConversations {
  private readonly open = new Map<string, { conversation: Conversation; users: number }>();

  constructor(
    private readonly supabase: SupabaseClient,
    private readonly endpoints: Endpoints,
  ) {}

  /** Open a conversation, or share it with those who have it open; give it back with `release`. */
  acquire(id: string): Conversation {
    const known = this.open.get(id);
    if (known) {
      known.users += 1;
      return known.conversation;
    }
    const conversation = new Conversation(id, this.supabase, this.endpoints);
    this.open.set(id, { conversation, users: 1 });
    conversation.open();
    return conversation;
  }

  release(id: string): void {
    const known = this.open.get(id);
    if (!known) return;
    known.users -= 1;
    if (known.users > 0) return;
    known.conversation.close();
    this.open.delete(id);
  }

  get(id: string): Conversation | undefined {
    return this.open.get(id)?.conversation;
  }

  /** The newest message known here; undefined where the conversation isn't open. */
  newestSeq(id: string | undefined): number | undefined {
    if (id === undefined) return 0;
    const snapshot = this.get(id)?.getSnapshot();
    return snapshot?.isLoaded ? newestSeq(snapshot) : undefined;
  }

  close(): void {
    for (const { conversation } of this.open.values()) conversation.close();
    this.open.clear();
  }
}
