"""Server-sent events: a stream of events as the browser's EventSource reads it."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from ..errors import AppError, InternalError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

log = structlog.get_logger(__name__)

KEEPALIVE_SECONDS = 15.0
CHUNK_BYTES = 64 * 1024
MOST_READY = 8  # events that wait for a client to read
WEIGHT = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
UI_HEADERS = {**HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
UI_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "description": "The AI SDK's UI message stream protocol, version 1.",
                    "type": "object",
                    "required": ["data"],
                    "properties": {
                        "data": {
                            "type": "string",
                            "description": "A chunk as JSON; `[DONE]` is the last.",
                        }
                    },
                },
            }
        }
    }
}


class StreamEvent(Protocol):
    """What is sent: a name, data, and the place in the stream that its id says."""

    @property
    def name(self) -> str:
        """Return the event's name."""

    @property
    def data(self) -> dict[str, Any] | str:
        """Return what it says, or that as JSON."""

    @property
    def place(self) -> object:
        """Return where in the stream its reader is then."""


def event_stream(events: AsyncIterator[StreamEvent]) -> EventSourceResponse:
    """Return the response that sends these events, each with its place in the stream as its id."""
    return EventSourceResponse(_with_keepalive(_encoded(events)), headers=HEADERS)


def ui_message_stream(chunks: AsyncIterator[dict[str, Any]]) -> EventSourceResponse:
    """Return the response that sends these chunks of the AI SDK's protocol, and its end."""
    return EventSourceResponse(_with_keepalive(_encoded_chunks(chunks)), headers=UI_HEADERS)


def wants_events(accept: str | None) -> bool:
    """Say whether a client asked for a stream, and not for JSON before it."""
    weights = dict(map(_weighed, (accept or "").lower().split(",")))
    weight = weights.get("text/event-stream", 0.0)
    return weight > 0 and weight >= weights.get("application/json", 0.0)


def _weighed(media_range: str) -> tuple[str, float]:
    """Return a media type of an Accept header and its weight, 1 where none can be read."""
    found = WEIGHT.search(media_range)
    return media_range.partition(";")[0].strip(), float(found[1]) if found else 1.0


async def _with_keepalive(events: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """Pass encoded events on, in one piece those that are ready; send a comment in a silence."""
    ready: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_READY)
    reading = asyncio.create_task(_read(events, ready))
    try:
        while True:
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    pieces = [await ready.get()]
            except TimeoutError:
                yield KEEPALIVE_COMMENT
                continue
            while not ready.empty():
                pieces.append(ready.get_nowait())
            encoded = b"".join(filter(None, pieces))
            for start in range(0, len(encoded), CHUNK_BYTES):  # as fast as the client reads it
                yield encoded[start : start + CHUNK_BYTES]
            if pieces[-1] is None:
                return
    finally:
        reading.cancel()


async def _read(events: AsyncGenerator[bytes], ready: asyncio.Queue[bytes | None]) -> None:
    """Move events to the queue, None behind the last: whatever fails, its reader goes on."""
    try:
        async with aclosing(events):
            async for encoded in events:
                await ready.put(encoded)
    except Exception:
        log.exception("stream_failed")
    await ready.put(None)


async def _encoded(events: AsyncIterator[StreamEvent]) -> AsyncGenerator[bytes]:
    async for event in _ended_by_an_error(events):
        place = None if event.place is None else str(event.place)
        data = event.data if isinstance(event.data, str) else json.dumps(event.data)
        yield format_sse_event(event=event.name, id=place, data_str=data)


async def _encoded_chunks(chunks: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[bytes]:
    try:
        async for chunk in chunks:
            yield format_sse_event(data_str=json.dumps(chunk))
    except Exception as exc:  # noqa: BLE001 - the response has begun
        error = {"type": "error", "errorText": _app_error(exc).message}
        yield format_sse_event(data_str=json.dumps(error))
    yield format_sse_event(data_str="[DONE]")


@dataclass(frozen=True, slots=True)
class _Error:
    data: dict[str, Any]
    place: object
    name: str = "error"


async def _ended_by_an_error(events: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
    """Pass events on; what goes wrong once the response has begun is the last of them.

    It has the place of the event before it, and none if it is the first: the id that a client
    came back with is still the one to come back with.
    """
    place: object = None
    try:
        async for event in events:
            place = event.place
            yield event
    except Exception as exc:  # noqa: BLE001 - the response has begun
        yield _Error(_app_error(exc).body(), place)


def _app_error(exc: Exception) -> AppError:
    """Return what a client is shown of an exception; one that nobody expected is logged."""
    if isinstance(exc, AppError):
        return exc
    log.error("stream_broke", exc_info=exc)
    return InternalError()
