"""Server-sent events: a stream of events as the browser's EventSource reads it."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from ..errors import AppError, InternalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = structlog.get_logger(__name__)

KEEPALIVE_SECONDS = 15.0
CHUNK_BYTES = 64 * 1024
WEIGHT = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


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
    return EventSourceResponse(_with_keepalive(events), headers=HEADERS)


def wants_events(accept: str | None) -> bool:
    """Say whether a client asked for a stream, and not for JSON before it."""
    weights = dict(map(_weighed, (accept or "").lower().split(",")))
    weight = weights.get("text/event-stream", 0.0)
    return weight > 0 and weight >= weights.get("application/json", 0.0)


def _weighed(media_range: str) -> tuple[str, float]:
    """Return a media type of an Accept header and its weight, 1 where none can be read."""
    found = WEIGHT.search(media_range)
    return media_range.partition(";")[0].strip(), float(found[1]) if found else 1.0


async def _with_keepalive(events: AsyncIterator[StreamEvent]) -> AsyncIterator[bytes]:
    """Encode events; send a comment where nothing else was sent for a while."""
    events = _ended_by_an_error(events)
    while True:
        following = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait({following}, timeout=KEEPALIVE_SECONDS))[0]:
                yield KEEPALIVE_COMMENT
            event = following.result()
        finally:
            following.cancel()
        if event is None:
            return
        place = None if event.place is None else str(event.place)
        data = event.data if isinstance(event.data, str) else json.dumps(event.data)
        encoded = format_sse_event(event=event.name, id=place, data_str=data)
        for start in range(0, len(encoded), CHUNK_BYTES):  # as fast as the client reads it
            yield encoded[start : start + CHUNK_BYTES]


@dataclass(frozen=True, slots=True)
class _Error:
    data: dict[str, Any]
    place: object
    name: str = "error"


async def _ended_by_an_error(events: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
    """Pass events on; what goes wrong once the response has begun is the last of them.

    It has the place of the event before it, and none where it is the first: the id that a client
    came back with is still the one to come back with.
    """
    place: object = None
    try:
        async for event in events:
            place = event.place
            yield event
    except AppError as exc:
        yield _Error(exc.body(), place)
    except Exception:
        log.exception("stream_broke")
        yield _Error(InternalError().body(), place)
