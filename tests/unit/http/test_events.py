"""Server-sent events: their encoding, the pause between them, and the way back in."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.errors import InvalidRequestError
from shared.http import events
from shared.http.events import event_stream, offset_from, wants_events
from shared.watch import TurnEvent


async def sent(stream: AsyncIterator[TurnEvent]) -> list[bytes]:
    """Return the chunks of a response to these events."""
    response = event_stream(stream)
    assert response.headers["cache-control"] == "no-cache"
    return [bytes(chunk) async for chunk in response.body_iterator]  # type: ignore[arg-type]


async def test_an_event_has_its_name_its_offset_and_one_line_of_json() -> None:
    """Line breaks in the text don't break the event."""

    async def one() -> AsyncIterator[TurnEvent]:
        yield TurnEvent("delta", {"text": "a\nb\r\nc\u2028d", "offset": 0}, 8)

    (chunk,) = await sent(one())
    assert chunk.startswith(b"event: delta\ndata: {")
    assert chunk.endswith(b"}\nid: 8\n\n")
    assert chunk.count(b"\n") == 4


async def test_a_silent_stream_is_kept_alive_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments come until the event does, and the event is not lost."""
    monkeypatch.setattr(events, "KEEPALIVE_SECONDS", 0.01)
    release = asyncio.Event()

    async def late() -> AsyncIterator[TurnEvent]:
        await release.wait()
        yield TurnEvent("done", {}, 0)

    chunks = []
    async for chunk in event_stream(late()).body_iterator:
        chunks.append(chunk)
        if len(chunks) == 3:
            release.set()
    assert chunks[:3] == [b": ping\n\n"] * 3
    assert bytes(chunks[-1]).startswith(b"event: done")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("", False),
        ("application/json", False),
        ("*/*", False),
        ("text/event-stream", True),
        ("Text/Event-Stream, */*;q=0.1", True),
    ],
)
def test_a_stream_is_sent_to_those_who_ask_for_one(accept: str | None, *, expected: bool) -> None:
    """Everybody else gets JSON."""
    assert wants_events(accept) is expected


@pytest.mark.parametrize(("sent_id", "offset"), [(None, 0), ("", 0), ("0", 0), ("42", 42)])
def test_the_last_id_is_the_offset_to_go_on_from(sent_id: str | None, offset: int) -> None:
    """Without one, from the beginning."""
    assert offset_from(sent_id) == offset


@pytest.mark.parametrize("sent_id", ["-1", "x", "1.5", "٣", "9" * 16, "1 "])
def test_an_id_that_was_never_given_is_refused(sent_id: str) -> None:
    """As a request that is malformed."""
    with pytest.raises(InvalidRequestError):
        offset_from(sent_id)
