"""Server-sent events: their encoding, the pause between them, and the way back in."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from starlette.responses import StreamingResponse

from shared.errors import StoreUnavailableError
from shared.http import sse
from shared.http.sse import event_stream, ui_message_stream, wants_events
from shared.turns.follow import START, Place, TurnEvent


async def stream_of(*steps: Any) -> AsyncIterator[Any]:
    """Yield these events, raise the exceptions among them, and wait for asyncio's events."""
    for step in steps:
        if isinstance(step, Exception):
            raise step
        if isinstance(step, asyncio.Event):
            await step.wait()
        else:
            yield step


def chunks_of(response: StreamingResponse) -> AsyncIterator[bytes]:
    """Return what a response sends."""
    return cast("AsyncIterator[bytes]", response.body_iterator)


async def sent(*steps: Any) -> list[bytes]:
    """Return the events of a response, as they are sent."""
    response = event_stream(stream_of(*steps))
    assert response.headers["cache-control"] == "no-store"
    body = b"".join([chunk async for chunk in chunks_of(response)])
    return [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]


async def test_an_event_has_its_name_its_place_and_one_line_of_json() -> None:
    """Line breaks in the text don't break the event."""
    delta = TurnEvent("delta", {"text": "a\nb\r\nc\u2028d", "offset": 0}, Place(8, 2))
    (chunk,) = await sent(delta)
    assert chunk.startswith(b"event: delta\ndata: {")
    assert chunk.endswith(b"}\nid: 2.8\n\n")
    assert chunk.count(b"\n") == 4


async def test_a_silent_stream_is_kept_alive_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments come until the event does, and the event is not lost."""
    monkeypatch.setattr(sse, "KEEPALIVE_SECONDS", 0.01)
    release, chunks = asyncio.Event(), []
    late = stream_of(release, TurnEvent("done", {}, Place()))
    async for chunk in chunks_of(event_stream(late)):
        chunks.append(chunk)
        if len(chunks) == 3:
            release.set()
    assert chunks[:3] == [b": ping\n\n"] * 3
    assert chunks[-1].startswith(b"event: done")


async def test_what_cannot_be_written_ends_the_stream() -> None:
    """Whoever reads isn't kept waiting by comments."""
    texts = [TurnEvent("delta", {"text": text, "offset": 0}, START) for text in ("a", object())]
    async with asyncio.timeout(5):
        assert len(await sent(*texts)) == 1


async def test_events_that_are_ready_are_one_piece() -> None:
    """One write to the socket; what comes later is another, and none waits for it."""
    accepted, status, done = (TurnEvent(n, {}, START) for n in ("accepted", "status", "done"))
    release, chunks = asyncio.Event(), []
    async for chunk in chunks_of(event_stream(stream_of(accepted, status, release, done))):
        chunks.append(chunk)
        release.set()
    assert [chunk.count(b"event: ") for chunk in chunks] == [2, 1]


async def test_a_large_event_goes_out_in_pieces_and_whole() -> None:
    """As fast as the client reads it."""
    text = "".join(map(str, range(40_000)))
    large = stream_of(TurnEvent("message", {"content": text}, START))
    chunks = [chunk async for chunk in chunks_of(event_stream(large))]
    assert max(map(len, chunks)) == sse.CHUNK_BYTES
    assert json.dumps({"content": text}).encode() in b"".join(chunks)


@pytest.mark.promise("client gone", red="nobody stops the reading")
async def test_a_client_that_leaves_stops_what_was_read_for_it() -> None:
    """Whatever its events come from is closed."""
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[TurnEvent]:
        try:
            yield TurnEvent("accepted", {}, START)
            await asyncio.Event().wait()
        finally:
            closed.set()

    chunks: Any = event_stream(endless()).body_iterator
    await anext(chunks)
    await chunks.aclose()
    await asyncio.wait_for(closed.wait(), 60)


async def test_chunks_of_the_sdks_protocol_end_with_its_last_word() -> None:
    """Also behind an error, which says nothing internal."""
    response = ui_message_stream(stream_of({"type": "start"}, RuntimeError("secret")))
    body = b"".join([chunk async for chunk in chunks_of(response)])
    start, error, done = body.split(b"\n\n")[:-1]
    assert (start, done) == (b'data: {"type": "start"}', b"data: [DONE]")
    assert json.loads(error.removeprefix(b"data: "))["type"] == "error"
    assert b"secret" not in error
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("", False),
        ("application/json", False),
        ("*/*", False),
        ("text/event-stream", True),
        ("Text/Event-Stream, */*;q=0.1", True),
        ("application/json, text/event-stream", True),
        ("text/event-stream;q=0.5", True),
        ("text/event-stream; charset=utf-8 ; Q=1.000, application/json;q=0.9", True),
        ("application/json;q=0.5,text/event-stream ; q=0.8", True),
        ("text/event-stream;q=0", False),
        ("application/json, text/event-stream; q=0.000", False),
        ("application/json, text/event-stream;q=0.5", False),
        ("text/event-stream;q=nonsense", True),
        ("text/event-streams, x-text/event-stream", False),
        ("application/json;profile=text/event-stream", False),
    ],
)
def test_a_stream_is_sent_to_those_who_ask_for_one(accept: str | None, *, expected: bool) -> None:
    """Everybody else gets JSON."""
    assert wants_events(accept) is expected


@pytest.mark.parametrize(
    ("broken", "code"),
    [(StoreUnavailableError(), "store_unavailable"), (RuntimeError("secret"), "internal")],
)
async def test_what_goes_wrong_in_a_stream_is_its_last_event(broken: Exception, code: str) -> None:
    """In the shape of every other error, and nothing internal in it."""
    _, last = await sent(TurnEvent("status", {}, Place(4, 1)), broken)
    assert last.startswith(b"event: error\n")
    assert last.endswith(b"id: 1.4\n\n")
    assert f'"code": "{code}'.encode() in last
    assert b"secret" not in last


@pytest.mark.promise("streams", red="the error has an id that a client can't come back with")
async def test_what_goes_wrong_before_any_event_moves_nobodys_place() -> None:
    """Whoever comes back does so with the id they had, and every id that is given is taken."""
    (only,) = await sent(StoreUnavailableError())
    assert only.startswith(b"event: error\n")
    assert b"\nid:" not in only
