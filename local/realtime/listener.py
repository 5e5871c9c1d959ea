"""Delivers what SQL has sent, and knows whether the database is there.

Lives as long as the server: a lost database is tried again for ever, with growing pauses.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import psycopg

from local.realtime.errors import DatabaseDownError
from local.realtime.history import load_broadcasts, prune
from local.realtime.limits import (
    LISTENER_CHECK_SECONDS,
    PENDING_NOTIFICATIONS,
    RECONNECT_SECONDS,
)

if TYPE_CHECKING:
    from local.realtime.database import Connection
    from local.realtime.services import Services

logger = logging.getLogger(__name__)

_EXPECTED = (psycopg.Error, OSError, TimeoutError, DatabaseDownError)


class Listener:
    """Holds the one connection that listens; opens the pool with it and closes it after."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._pause, self._longest_pause = RECONNECT_SECONDS

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except* _EXPECTED as group:
                logger.warning("The database is away: %s", _first_line(group))
            except* Exception:
                logger.exception("The listener failed and starts again")
            finally:
                await self._services.database.close()
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, self._longest_pause)

    async def _listen(self) -> None:
        async with await self._services.database.connect() as connection:
            await connection.execute("listen realtime_messages")
            await prune(connection)
            await self._services.database.open()
            self._pause = RECONNECT_SECONDS[0]
            ids: asyncio.Queue[str] = asyncio.Queue(PENDING_NOTIFICATIONS)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collect(connection, ids))
                tasks.create_task(self._deliver(ids))

    async def _collect(self, connection: Connection, ids: asyncio.Queue[str]) -> None:
        while True:
            async for notification in connection.notifies(timeout=LISTENER_CHECK_SECONDS):
                if ids.full():
                    ids.get_nowait()
                ids.put_nowait(notification.payload)
            await connection.execute("select 1")

    async def _deliver(self, ids: asyncio.Queue[str]) -> None:
        while True:
            batch = [await ids.get()]
            while not ids.empty():
                batch.append(ids.get_nowait())
            for broadcast in await load_broadcasts(self._services.database, batch):
                self._services.hub.send(broadcast)


def _first_line(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (str(error).splitlines() or [type(error).__name__])[0]
