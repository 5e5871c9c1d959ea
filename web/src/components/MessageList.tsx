/** The messages, as many in the page as can be seen: older ones come in as the reader scrolls up. */

import { ArrowDownIcon } from "@radix-ui/react-icons";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { ChatError } from "../core/errors.js";
import type { TurnState } from "../core/state.js";
import type { MessageRow, OutboxEntry, Sibling } from "../core/types.js";
import type { UniversalAIChat } from "../hook/chat.js";
import { DraftMessage } from "./DraftMessage.js";
import { Message } from "./Message.js";
import { PendingMessage } from "./PendingMessage.js";
import { useTexts } from "./texts.js";
import { useEditing } from "./useEditing.js";
import { type Direction, Versions } from "./Versions.js";

type Item =
  | { kind: "message"; key: string; message: MessageRow }
  | { kind: "pending"; key: string; entry: OutboxEntry }
  | { kind: "draft"; key: string; turn: TurnState };

const NEAR = 10; // items before the first or the last one at which more are asked for
const AT_END = 96; // pixels from the end that still count as being there

interface MessageListProps {
  chat: UniversalAIChat;
  focusMessageId?: string;
  /** How many messages were sent from here: each is shown, wherever the reader was. */
  sent: number;
  /** Ask the AI to go on with a reply that was cut. */
  onContinue: () => void;
  /** Something was sent from the list itself. */
  onSent: () => void;
}

export function MessageList({ chat, focusMessageId, sent, onContinue, onSent }: MessageListProps) {
  const texts = useTexts();
  const scroller = useRef<HTMLDivElement>(null);
  const items = useItems(chat);
  const virtualizer = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    getItemKey: (index) => items[index]?.key ?? index,
    estimateSize: (index) => estimate(items[index]),
    anchorTo: "end",
    // What comes in below because it was scrolled to is not followed.
    followOnAppend: !usePrevious(chat.hasNewer) && !chat.hasNewer,
    scrollEndThreshold: AT_END,
    overscan: 5,
    paddingStart: 24,
    paddingEnd: 24,
  });
  const visible = virtualizer.getVirtualItems();
  const isOpenedAt = useOpening(chat, items, focusMessageId, virtualizer);
  useOlderOnScroll(chat, visible[0]?.index, isOpenedAt);
  useNewerOnScroll(chat, visible.at(-1)?.index, items.length, isOpenedAt);
  const showNewest = () => void toNewest(chat).then(() => virtualizer.scrollToEnd());
  useEffect(() => {
    if (sent > 0) showNewest();
  }, [sent]);
  const editing = useEditing(chat, onSent);
  const versions = useVersions(chat, items, virtualizer);
  const isAway = items.length > 0 && !virtualizer.isAtEnd(AT_END * 3);

  return (
    <div className="uci-list-frame">
      <div
        className="uci-list"
        ref={scroller}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label={texts.messages}
      >
        {chat.isLoadingOlder && (
          <p className="uci-list-loading" role="status">
            {texts.loadingOlder}
          </p>
        )}
        <div className="uci-list-inner" style={{ height: virtualizer.getTotalSize() }}>
          {visible.map((place) => {
            const item = items[place.index];
            if (!item) return null;
            return (
              <div
                key={place.key}
                ref={virtualizer.measureElement}
                data-index={place.index}
                className="uci-list-item"
                style={{ transform: `translateY(${place.start}px)` }}
              >
                <ItemView
                  item={item}
                  chat={chat}
                  focusMessageId={focusMessageId}
                  onContinue={onContinue}
                  editing={editing}
                  versions={versions}
                />
              </div>
            );
          })}
        </div>
      </div>
      {(isAway || chat.hasNewer) && (
        <button
          type="button"
          className="uci-to-end"
          aria-label={texts.toNewest}
          onClick={showNewest}
        >
          <ArrowDownIcon aria-hidden />
        </button>
      )}
    </div>
  );
}

interface ItemViewProps {
  item: Item;
  chat: UniversalAIChat;
  focusMessageId?: string;
  onContinue: () => void;
  editing: ReturnType<typeof useEditing>;
  versions: ReturnType<typeof useVersions>;
}

function ItemView({ item, chat, focusMessageId, onContinue, editing, versions }: ItemViewProps) {
  if (item.kind === "pending") return <PendingMessage entry={item.entry} chat={chat} />;
  if (item.kind === "draft") return <DraftMessage turn={item.turn} />;
  const { message } = item;
  const isLast = message === chat.messages.at(-1) && !chat.hasNewer && !chat.pending.length;
  const isBusy = chat.turn !== null || chat.pending.length > 0;
  const isOpen = chat.conversationId !== null && !isBusy;
  const siblings = chat.siblings[message.id];
  return (
    <Message
      message={message}
      isFocused={message.id === focusMessageId}
      onContinue={isLast && !chat.turn ? onContinue : undefined}
      onEdit={isOpen ? editing.begin : undefined}
      onRegenerate={isOpen ? chat.regenerate : undefined}
      editor={editing.editorOf(message)}
      versions={
        siblings && (
          <Versions
            messageId={message.id}
            siblings={siblings}
            isBusy={isBusy}
            cameFrom={versions.cameFrom(message.id)}
            onShow={versions.show}
          />
        )
      }
    />
  );
}

/** The way from one version of a message to another, which then is where the reader was. */
function useVersions(chat: UniversalAIChat, items: Item[], list: List) {
  const [came, setCame] = useState<{ id: string; direction: Direction } | null>(null);
  const show = useCallback(
    (sibling: Sibling, direction: Direction) => {
      setCame({ id: sibling.id, direction });
      void chat.show(sibling);
    },
    [chat.show],
  );
  const place = items.findIndex((item) => item.kind === "message" && item.message.id === came?.id);
  const isThere = place >= 0;
  useLayoutEffect(() => {
    if (isThere) list.scrollToIndex(place, { align: "auto" });
  }, [came, isThere]);
  return { show, cameFrom: (id: string) => (id === came?.id ? came.direction : undefined) };
}

async function toNewest(chat: UniversalAIChat): Promise<void> {
  if (chat.hasNewer) await chat.loadNewest();
}

function useItems({ messages, pending, turn }: UniversalAIChat): Item[] {
  return useMemo(() => {
    const items: Item[] = messages.map((message) => ({
      kind: "message",
      key: keyOf(message),
      message,
    }));
    // What runs answers a stored message; what is still to be sent comes behind it.
    if (turn) items.push({ kind: "draft", key: `reply ${turn.turnId}`, turn });
    for (const entry of pending) items.push({ kind: "pending", key: entry.key, entry });
    return items;
  }, [messages, pending, turn]);
}

/** A reply has the key that its draft had, so that it takes its place without a flicker. */
function keyOf(message: MessageRow): string {
  const isReply = message.role === "assistant" && message.turn_id;
  return isReply ? `reply ${message.turn_id}` : message.id;
}

function estimate(item: Item | undefined): number {
  if (item?.kind !== "message") return 96;
  const { content } = item.message;
  return 72 + Math.min(content.length / 3, 1200);
}

type List = ReturnType<typeof useVirtualizer<HTMLDivElement, Element>>;

/** Start at the newest message, or at the one that was asked for; say once that is done. */
function useOpening(
  chat: UniversalAIChat,
  items: Item[],
  focusMessageId: string | undefined,
  list: List,
): boolean {
  const [opened, setOpened] = useState<string | null>(null);
  const wanted = `${chat.conversationId} ${focusMessageId}`;
  const asked = useRef("");
  const focusIndex = items.findIndex(
    (item) => item.kind === "message" && item.message.id === focusMessageId,
  );
  const isRefused = chat.error instanceof ChatError && !chat.error.isPassing;
  useEffect(() => {
    if (!chat.error) asked.current = ""; // tried again, with or without the reader
  }, [chat.error]);
  useEffect(() => {
    if (!focusMessageId || !chat.conversation || focusIndex >= 0) return;
    if (asked.current === wanted || opened === wanted) return;
    asked.current = wanted;
    void chat.loadAround(focusMessageId);
  }, [chat, focusMessageId, focusIndex, wanted, opened]);
  useLayoutEffect(() => {
    if (opened === wanted || items.length === 0) return;
    const isMissing = isRefused && asked.current === wanted;
    if (focusMessageId && focusIndex < 0 && !isMissing) return;
    if (focusIndex >= 0) list.scrollToIndex(focusIndex, { align: "center" });
    else list.scrollToEnd();
    setOpened(wanted);
  }, [opened, wanted, items.length, focusMessageId, focusIndex, isRefused, list]);
  return opened === wanted;
}

function useOlderOnScroll(chat: UniversalAIChat, first: number | undefined, isOpen: boolean): void {
  const { hasOlder, hasNewer, isLoadingOlder, loadOlder } = chat;
  const hasFailed = chat.error !== null; // the reader decides whether it is tried again
  const isNear = first !== undefined && first < NEAR;
  useEffect(() => {
    if (isOpen && isNear && hasOlder && !isLoadingOlder && !hasFailed) void loadOlder();
  }, [isOpen, isNear, hasOlder, hasNewer, isLoadingOlder, hasFailed]);
}

function useNewerOnScroll(
  { hasNewer, loadNewer }: UniversalAIChat,
  last: number | undefined,
  count: number,
  isOpen: boolean,
): void {
  const askedAt = useRef(0);
  const isNear = last !== undefined && last >= count - NEAR;
  useEffect(() => {
    if (!isOpen || !isNear || !hasNewer || askedAt.current === count) return;
    askedAt.current = count;
    void loadNewer().finally(() => {
      askedAt.current = 0;
    });
  }, [isOpen, isNear, hasNewer, count]);
}

function usePrevious<T>(value: T): T {
  const previous = useRef(value);
  useEffect(() => {
    previous.current = value;
  });
  return previous.current;
}
