"""What waits to be written to one socket: bounded, so that a stalled reader hurts no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.realtime.frames import Wire


class Outbox:
    """A queue that never waits on its way in. Full once, it stays shut."""

    def __init__(self, *, frames: int, octets: int) -> None:
        self._queue: asyncio.Queue[Wire | None] = asyncio.Queue()
        self._most_frames = frames
        self._most_octets = octets
        self._octets = 0
        self._overflowed = asyncio.Event()
        self._is_finished = False

    def put(self, data: Wire) -> None:
        """Add a frame; the one that does not fit is dropped and shuts the queue."""
        if self._is_finished or self._overflowed.is_set():
            return
        size = len(data)
        if self._queue.qsize() >= self._most_frames or self._octets + size > self._most_octets:
            self._overflowed.set()
            return
        self._octets += size
        self._queue.put_nowait(data)

    def finish(self) -> None:
        """Take nothing more; the reader ends after what is already here."""
        if not self._is_finished:
            self._is_finished = True
            self._queue.put_nowait(None)

    async def get(self) -> Wire | None:
        """Wait for the next frame; None is the end."""
        data = await self._queue.get()
        if data is not None:
            self._octets -= len(data)
        return data

    async def overflow(self) -> None:
        """Wait until the queue has been shut for being full."""
        await self._overflowed.wait()
