"""Server-sent events: a stream of events as the browser's EventSource reads it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEEPALIVE_SECONDS = 15.0
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class StreamEvent(Protocol):
    """What is sent: a name, data, and the place in the stream that its id says."""

    @property
    def name(self) -> str:
        """Return the event's name."""

    @property
    def data(self) -> dict[str, Any]:
        """Return what it says."""

    @property
    def offset(self) -> int:
        """Return how far the stream is once it is read."""


def event_stream(events: AsyncIterator[StreamEvent]) -> EventSourceResponse:
    """Return the response that sends these events, each with the draft's offset as its id."""
    return EventSourceResponse(_with_keepalive(events), headers=HEADERS)


def wants_events(accept: str | None) -> bool:
    """Say whether a client asked for a stream."""
    return "text/event-stream" in (accept or "").lower()


def offset_from(last_event_id: str | None) -> int:
    """Return the offset that a client has read up to, by the last id it saw."""
    if not last_event_id:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 16):
        raise InvalidRequestError("Last-Event-ID is not one that this endpoint gave.")
    return int(last_event_id)


async def _with_keepalive(events: AsyncIterator[StreamEvent]) -> AsyncIterator[bytes]:
    """Encode events; send a comment where nothing else was sent for a while."""
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
        yield format_sse_event(
            event=event.name, id=str(event.offset), data_str=json.dumps(event.data)
        )
