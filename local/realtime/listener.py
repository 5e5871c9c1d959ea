"""Delivers what SQL has sent, and knows whether the database is there.

Lives as long as the server: a lost database is tried again for ever, with growing pauses.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import psycopg

from local.realtime.errors import DatabaseDownError
from local.realtime.hub import PAYLOAD_BYTES, Broadcast

if TYPE_CHECKING:
    from local.realtime.database import Database
    from local.realtime.hub import Hub

CHECK_SECONDS = 10.0  # without a notification, before the connection is tried
RECONNECT_SECONDS = (0.1, 2.0)  # the first and the longest pause
DAYS_KEPT = 3

logger = logging.getLogger(__name__)

_LOAD = """
    select topic, event, private, payload::text
      from realtime.messages
     where id = %s and extension = 'broadcast' and event is not null
"""
_PRUNE = """
    delete from realtime.messages
     where inserted_at < timezone('utc', now()) - make_interval(days => %s)
"""


class Listener:
    """Holds the one connection that listens; opens the pool with it and closes it after."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._pause, self._longest_pause = RECONNECT_SECONDS

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError, DatabaseDownError) as exc:
                logger.warning("The database is away: %s", exc)
            except Exception:
                logger.exception("The listener failed and starts again")
            finally:
                await self._database.close()
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, self._longest_pause)

    async def _listen(self) -> None:
        async with await self._database.connect() as connection:
            await connection.execute("listen realtime_messages")
            await connection.execute(_PRUNE, (DAYS_KEPT,))
            await self._database.open()
            self._pause = RECONNECT_SECONDS[0]
            while True:
                async for notification in connection.notifies(timeout=CHECK_SECONDS):
                    await self._deliver(notification.payload)
                await connection.execute("select 1")

    async def _deliver(self, row_id: str) -> None:
        async with self._database.connection() as connection:
            row = await (await connection.execute(_LOAD, (row_id,))).fetchone()
        if row is None:
            return
        topic, event, is_private, payload = row
        if len((payload or "").encode()) > PAYLOAD_BYTES:
            logger.warning("Broadcast %s is skipped: more than %d bytes", row_id, PAYLOAD_BYTES)
            return
        broadcast = Broadcast(topic, event, json.loads(payload or "{}"), bool(is_private), row_id)
        self._hub.send(broadcast)
