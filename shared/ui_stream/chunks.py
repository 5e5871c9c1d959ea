"""The events of a turn as chunks of the UI message stream protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .messages import ui_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..turns.follow import TurnEvent

Chunk: TypeAlias = dict[str, Any]

FINISH_REASONS: Final = {None: "stop", "length": "length"}


async def ui_chunks(events: AsyncIterator[TurnEvent]) -> AsyncIterator[Chunk]:
    """Yield the chunks of a whole message, from `start` on.

    They end in `finish`, or in `error` where the AI failed, whose sentence is in the message too.
    """
    writer = ChunkWriter()
    async for event in events:
        for chunk in writer.chunks(event):
            yield chunk


class ChunkWriter:
    """Knows which message has begun and which of its parts is open."""

    def __init__(self) -> None:
        self._has_begun = False
        self._parts = 0
        self._is_open = False

    def chunks(self, event: TurnEvent) -> Iterator[Chunk]:
        """Yield the chunks that one event is."""
        match event.name:
            case "accepted":
                yield from self._begin(event.data["turnId"])
            case "status":
                status = {"status": event.data["status"]}
                yield {"type": "data-status", "data": status, "transient": True}
            case "delta":
                yield from self._write(event.data["text"])
            case "message":
                yield from self._end(event.data)

    def _begin(self, message_id: str) -> Iterator[Chunk]:
        """Begin the message; what was written of it is forgotten where another attempt begins."""
        if not self._has_begun:
            yield {"type": "start", "messageId": message_id}
        elif self._parts:
            yield {"type": "reset-step"}
        self._has_begun, self._is_open, self._parts = True, False, 0

    @property
    def _part_id(self) -> str:
        return f"text-{self._parts}"

    def _write(self, text: str) -> Iterator[Chunk]:
        if not self._is_open:
            self._is_open = True
            self._parts += 1
            yield {"type": "text-start", "id": self._part_id}
        yield {"type": "text-delta", "id": self._part_id, "delta": text}

    def _close(self) -> Iterator[Chunk]:
        if self._is_open:
            self._is_open = False
            yield {"type": "text-end", "id": self._part_id}

    def _end(self, row: dict[str, Any]) -> Iterator[Chunk]:
        error = row["metadata"].get("error") or {}
        yield from self._close()
        if row["content"] == error.get("message"):  # the sentence that stands for a failed reply
            yield from self._write(row["content"])
            yield from self._close()
        yield from _ending(row, error)


def _ending(row: dict[str, Any], error: dict[str, Any]) -> Iterator[Chunk]:
    metadata = ui_metadata(row)
    if error and error.get("type") != "cancelled":
        yield {"type": "message-metadata", "messageMetadata": metadata}
        yield {"type": "error", "errorText": error.get("message", "The AI failed.")}
        return
    if error:
        yield {"type": "abort", "reason": error.get("message")}
    reason = "other" if error else FINISH_REASONS.get(row["metadata"].get("finishReason"), "other")
    yield {"type": "finish", "finishReason": reason, "messageMetadata": metadata}
