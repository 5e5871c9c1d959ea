"""What a provider streams, read into the reply's text and its reasoning.

Reasoning is what the provider marks as such: parts of its own, or, from servers that have none, a
`<think>` that opens the reply and is closed. A tag anywhere else is text, and so is one that never
closes or that a sentence only mentions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic_ai.messages import (
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponseStreamEvent

MAX_REASONING_CHARS: Final = 100_000  # that are kept; it is no part of the reply
OPENING: Final = "<think>"
CLOSING: Final = "</think>"


class Reading:
    """Takes events; `text` and `reasoning` are what was read so far."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._pairs = _Pairs()
        self._tags = _Tags()
        self._parts: list[str] = []
        self._thoughts: list[str] = []  # that nobody has asked for yet
        self._thought_chars = 0
        self._has_tagged = False

    @property
    def text(self) -> str:
        """Return the text that `take` and `end` have given."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str | None:
        """Return the reasoning, or None if there was none; a very long one is cut."""
        whole = f"{self._tags.reasoning}{''.join(self._parts)}".strip()
        cut = whole[:MAX_REASONING_CHARS]
        return (cut if cut == whole else f"{cut}…") or None

    def take(self, event: ModelResponseStreamEvent) -> str:
        """Return the text that an event adds to the reply, which may be none."""
        if reasoning := _reasoning_of(event):
            self._parts.append(reasoning)
            self._thoughts.append(reasoning)
        text = self._keep(self._tags.take(self._pairs.take(_text_of(event))))
        if self._tags.reasoning and not self._has_tagged:
            self._has_tagged = True
            self._thoughts.append(self._tags.reasoning)
        return text

    def thought(self) -> str:
        """Return what the reasoning has more since this was last asked, up to what is kept."""
        new = "".join(self._thoughts)
        self._thoughts.clear()
        if not self._thought_chars:
            new = new.lstrip()
        new = new[: MAX_REASONING_CHARS - self._thought_chars]
        self._thought_chars += len(new)
        return new

    def end(self) -> str:
        """Return the text that was held back in case more would come."""
        return self._keep(self._tags.take(self._pairs.end()) + self._tags.end())

    def _keep(self, text: str) -> str:
        self._text.append(text)
        return text


class _Pairs:
    """Puts together the two halves of a character that a provider has cut apart."""

    def __init__(self) -> None:
        self._half = ""

    def take(self, text: str) -> str:
        text = self.end() + text
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if text.isascii():
            return text
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

    def end(self) -> str:
        half, self._half = self._half, ""
        return half


class _Tags:
    """Takes the reasoning off a reply that opens with it; until then nothing is given out."""

    def __init__(self) -> None:
        self.reasoning = ""
        self._held: list[str] = []
        self._last = ""  # enough of what is held to see a tag that is cut in two
        self._is_inside = False
        self._is_decided = False
        self._is_behind = False  # directly behind the closing tag, where blank lines are dropped

    def take(self, text: str) -> str:
        if self._is_decided:
            return self._without_blank_lines(text) if self._is_behind else text
        self._held.append(text)
        if not self._is_inside:
            return self._begin("".join(self._held).lstrip())
        recent = self._last + text
        self._last = recent[-len(CLOSING) :]
        return self._close() if CLOSING in recent else ""

    def end(self) -> str:
        self._is_decided = True
        held = "".join(self._held)
        self._held.clear()
        return held

    def _begin(self, beginning: str) -> str:
        if beginning.startswith(OPENING):
            self._is_inside = True
            self._last = beginning[-len(CLOSING) :]
            return self._close() if CLOSING in beginning else ""
        return "" if OPENING.startswith(beginning) else self.end()

    def _close(self) -> str:
        whole = self.end()
        reasoning, _, text = whole.lstrip().removeprefix(OPENING).partition(CLOSING)
        if "\n" not in reasoning and (not reasoning or reasoning[0] == " "):
            return whole  # a sentence about the tags
        self.reasoning = reasoning
        self._is_behind = True
        return self._without_blank_lines(text)

    def _without_blank_lines(self, text: str) -> str:
        shown = text.lstrip("\r\n")
        self._is_behind = not shown
        return shown


def _text_of(event: ModelResponseStreamEvent) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _reasoning_of(event: ModelResponseStreamEvent) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, ThinkingPart):
        return f"\n\n{event.part.content}"
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, ThinkingPartDelta):
        return event.delta.content_delta or ""
    return ""
