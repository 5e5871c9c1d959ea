"""Events of a turn as chunks: each part is begun and ended, and the message ends as it did."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.turns.follow import START, TurnEvent
from shared.ui_stream.chunks import ui_chunks
from tests.support.ui_messages import Chunk, text_of

ROW: dict[str, Any] = {"id": "m", "seq": 2, "created_at": "then", "parts": []}
FAILED = {"type": "provider_error", "message": "The AI failed."}
STOPPED = {"type": "cancelled", "message": "The reply was stopped."}


def event(name: str, **data: Any) -> TurnEvent:
    """Return an event of a turn."""
    return TurnEvent(name, data, START)


def delta(text: str, offset: int = 0) -> TurnEvent:
    """Return the event of a text that begins at this offset."""
    return event("delta", offset=offset, text=text)


def part(index: int, offset: int = 0, **part: Any) -> TurnEvent:
    """Return the event of a part."""
    return event("part", index=index, offset=offset, part=part)


def ended(content: str = "Half", **metadata: Any) -> TurnEvent:
    """Return the event of a stored reply."""
    return event("message", **{**ROW, "content": content, "metadata": metadata})


async def chunks_of(*events: TurnEvent) -> list[Chunk]:
    """Return the chunks of these events, without those of statuses."""

    async def stream() -> AsyncIterator[TurnEvent]:
        for item in (
            event("accepted", turnId="t", attempt=1),
            *events,
            event("done", success=True),
        ):
            yield item

    return [chunk async for chunk in ui_chunks(stream()) if chunk["type"] != "data-status"]


@pytest.mark.parametrize(
    ("metadata", "ending"),
    [
        ({}, [("finish", "stop")]),
        ({"finishReason": "length"}, [("finish", "length")]),
        ({"finishReason": "unknown"}, [("finish", "other")]),
        ({"error": STOPPED}, [("abort", None), ("finish", "other")]),
        ({"error": FAILED}, [("message-metadata", None), ("error", None)]),
    ],
)
async def test_a_message_ends_as_its_turn_did(
    metadata: dict[str, Any], ending: list[tuple[str, str | None]]
) -> None:
    """What was written comes first; the stored metadata comes with the end."""
    chunks = await chunks_of(delta("Half"), ended(**metadata))
    assert [chunk["type"] for chunk in chunks[:4]] == [
        "start", "text-start", "text-delta", "text-end",
    ]  # fmt: skip
    assert [(chunk["type"], chunk.get("finishReason")) for chunk in chunks[4:]] == ending
    (stored,) = [chunk["messageMetadata"] for chunk in chunks if "messageMetadata" in chunk]
    assert stored == {**metadata, "messageId": "m", "seq": 2, "createdAt": "then"}


@pytest.mark.parametrize("written", ["", "\n"])
async def test_the_sentence_of_a_failed_reply_is_shown(written: str) -> None:
    """It is what is stored in place of a text."""
    deltas = [delta(written)] if written else []
    chunks = await chunks_of(*deltas, ended(FAILED["message"], error=FAILED))
    assert text_of(chunks) == written + FAILED["message"]


async def test_another_attempt_starts_over() -> None:
    """What the one before has written goes; where it had written nothing, nothing is said."""
    again = event("accepted", turnId="t", attempt=2)
    chunks = await chunks_of(again, delta("Lost"), again, delta("Half"), ended())
    assert [chunk["type"] for chunk in chunks].count("reset-step") == 1
    assert text_of(chunks) == "Half"


async def test_a_status_is_shown_and_not_kept() -> None:
    """`useChat` gives it to `onData`, and the message doesn't hold it."""

    async def stream() -> AsyncIterator[TurnEvent]:
        yield event("status", status="thinking")

    (chunk,) = [chunk async for chunk in ui_chunks(stream())]
    assert chunk == {"type": "data-status", "data": {"status": "thinking"}, "transient": True}
