/** Which of its versions a message is, and the way to the others. */

import { ChevronLeftIcon, ChevronRightIcon } from "@radix-ui/react-icons";
import { useEffect, useRef } from "react";
import type { Sibling, Siblings } from "../core/types.js";
import { useTexts } from "./texts.js";

export type Direction = "previous" | "next";

interface VersionsProps {
  messageId: string;
  siblings: Siblings;
  isBusy: boolean;
  /** Where the reader came here from: that way they may want to go on. */
  cameFrom?: Direction;
  onShow: (sibling: Sibling, direction: Direction) => void;
}

export function Versions({ messageId, siblings, isBusy, cameFrom, onShow }: VersionsProps) {
  const texts = useTexts();
  const { position, count, messages } = siblings;
  const place = messages.findIndex(({ id }) => id === messageId);
  const others = { previous: messages[place - 1], next: messages[place + 1] };
  const buttons = {
    previous: useRef<HTMLButtonElement>(null),
    next: useRef<HTMLButtonElement>(null),
  };
  useEffect(() => {
    if (!cameFrom) return;
    const isEnd = !others[cameFrom];
    const other = cameFrom === "next" ? "previous" : "next";
    buttons[isEnd ? other : cameFrom].current?.focus({ preventScroll: true });
  }, []);

  function button(direction: Direction, label: string) {
    const sibling = others[direction];
    const Icon = direction === "next" ? ChevronRightIcon : ChevronLeftIcon;
    return (
      <button
        ref={buttons[direction]}
        type="button"
        className="uci-icon-button"
        aria-label={label}
        title={label}
        disabled={!sibling || isBusy}
        onClick={() => sibling && onShow(sibling, direction)}
      >
        <Icon aria-hidden />
      </button>
    );
  }

  return (
    <div className="uci-versions" role="group" aria-label={texts.versions}>
      {button("previous", texts.previousVersion)}
      <span role="status">{texts.version(position, count)}</span>
      {button("next", texts.nextVersion)}
    </div>
  );
}
