"""The events of a turn as chunks of the UI message stream protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..encoding.parts import is_text, is_tool, text_of
from ..errors import UnavailableError
from .answers import is_waiting
from .messages import STEP, ui_metadata
from .parts import PartWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..encoding.parts import Part
    from ..models.ui_messages import UiMessage
    from ..turns.follow import TurnEvent
    from .parts import Chunk

FINISH_REASONS: Final = {None: "stop", "length": "length"}
GROWING: Final = frozenset({"text", "reasoning"})


async def ui_chunks(
    events: AsyncIterator[TurnEvent], *, base: UiMessage | None = None, is_shown: bool = True
) -> AsyncIterator[Chunk]:
    """Yield the chunks of a turn's reply, from `start` on.

    It goes on with the message `base`, where there is one: which is written first, unless its
    reader shows it already. The chunks end in `finish`, or in `error` where the AI failed.
    """
    writer = ReplyWriter(base, is_shown=is_shown)
    async for event in events:
        for chunk in writer.chunks(event):
            yield chunk


class ReplyWriter:
    """Knows what was written of a reply: by the index of each part, as the draft has it."""

    def __init__(self, base: UiMessage | None, *, is_shown: bool) -> None:
        self._base = base
        self._is_shown = is_shown
        self._has_begun = False
        self._start_over()

    def _start_over(self) -> None:
        self._parts = PartWriter(self._base.parts if self._base else [])
        self._lengths: dict[int, int] = {}  # of what was written of texts and reasoning
        self._others: dict[int, Part] = {}
        self._text = (0, 0)  # which part text goes to, and from which offset of the draft on

    def chunks(self, event: TurnEvent) -> Iterator[Chunk]:
        """Yield the chunks that one event is."""
        data = event.data
        match event.name:
            case "accepted":
                yield from self._begin(data["turnId"], data["attempt"])
            case "status":
                yield _status(data["status"])
            case "delta" if not event.is_rest:  # the message has it
                yield from self._write(data["offset"], data["text"])
            case "part":
                yield from self._take(data["index"], data["offset"], data["part"])
            case "part-delta":
                self._lengths[data["index"]] += len(data["text"])
                yield from self._parts.reasoning(data["text"])
            case "message":
                yield from self._end(data)

    def _begin(self, turn_id: str, attempt: int) -> Iterator[Chunk]:
        if self._has_begun:
            yield from self._begin_again()
            yield _status("accepted", attempt=attempt)
            return
        self._has_begun = True
        yield {"type": "start", "messageId": self._base.id if self._base else turn_id}
        yield _status("accepted", attempt=attempt)
        if self._base is not None:
            if not self._is_shown:
                replay = PartWriter()
                for part in self._base.parts:
                    yield from replay.part(part)
                yield from replay.end()
            yield from self._parts.part(STEP)

    def _begin_again(self) -> Iterator[Chunk]:
        """Forget what was written, where another attempt begins."""
        if STEP in self._others.values():
            raise UnavailableError("The reply has begun once more: resume it.")
        if self._lengths or self._others:
            yield {"type": "reset-step"}
        self._start_over()

    def _write(self, offset: int, text: str) -> Iterator[Chunk]:
        index, start = self._text
        new = text[max(start - offset, 0) :]  # what sets two texts apart belongs to neither
        if new:
            self._lengths[index] = self._lengths.get(index, 0) + len(new)
            yield from self._parts.text(new)

    def _take(self, index: int, offset: int, part: Part) -> Iterator[Chunk]:
        if is_text(part):
            if index not in self._lengths:
                self._lengths[index], self._text = 0, (index, offset)
                yield from self._parts.part({**part, "text": ""})
            return
        yield from self._complete(index, part)

    def _complete(self, index: int, part: Part) -> Iterator[Chunk]:
        """Write what is new of a part, which is whole as it comes."""
        if part["type"] not in GROWING:
            if self._others.get(index) != part:
                self._others[index] = part
                yield from self._parts.part(part)
            return
        written = self._lengths.get(index)
        self._lengths[index] = len(part["text"])
        if written is None:
            yield from self._parts.part(part)
        elif tail := part["text"][written:]:
            yield from self._parts.text(tail) if is_text(part) else self._parts.reasoning(tail)

    def _end(self, row: dict[str, Any]) -> Iterator[Chunk]:
        error = row["metadata"].get("error") or {}
        parts = row["parts"] or [{"type": "text", "text": row["content"]}]
        # The sentence of a failed reply stands in the place of blanks that were written.
        is_sentence = row["content"] == error.get("message") and text_of(parts) == row["content"]
        for index, part in enumerate(parts):
            if is_sentence and is_text(part):
                self._lengths.pop(index, None)
            yield from self._complete(index, part)
        yield from self._parts.end()
        yield from _ending(row, error)


def _status(status: str, **more: int) -> Chunk:
    """Return what a page may show while it waits, and no part of the message."""
    return {"type": "data-status", "data": {"status": status, **more}, "transient": True}


def _ending(row: dict[str, Any], error: dict[str, Any]) -> Iterator[Chunk]:
    metadata = ui_metadata(row)
    if error and error.get("type") != "cancelled":
        yield {"type": "message-metadata", "messageMetadata": metadata}
        yield {"type": "error", "errorText": error.get("message", "The AI failed.")}
        return
    if error:
        yield {"type": "abort", "reason": error.get("message")}
    reason = "other" if error else _finish_reason(row)
    yield {"type": "finish", "finishReason": reason, "messageMetadata": metadata}


def _finish_reason(row: dict[str, Any]) -> str:
    if any(is_tool(part) and is_waiting(part) for part in row["parts"]):
        return "tool-calls"
    return FINISH_REASONS.get(row["metadata"].get("finishReason"), "other")
