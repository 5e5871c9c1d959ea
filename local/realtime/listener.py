"""Delivers what SQL has sent, and knows whether the database is there.

Lives as long as the server: a lost database is tried again for ever, with growing pauses.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from local.realtime.errors import DatabaseDownError
from local.realtime.hub import PAYLOAD_BYTES, Broadcast

if TYPE_CHECKING:
    from local.realtime.database import Database
    from local.realtime.hub import Hub

POLL_SECONDS = 0.02
IDLE_SECONDS = 0.2  # while nobody is on a topic
RECONNECT_SECONDS = (0.1, 2.0)  # the first and the longest pause
DAYS_KEPT = 3

logger = logging.getLogger(__name__)

# Each row is looked up by its id, however many there are.
_TAKE = """
    with taken as (
        delete from realtime.undelivered returning place, id
    )
    select sent.topic, sent.event, sent.private, sent.payload::text, taken.id::text
      from taken
      cross join lateral (
          select * from realtime.messages where messages.id = taken.id limit 1
      ) as sent
     order by taken.place
"""
_PRUNE = """
    delete from realtime.messages
     where inserted_at < timezone('utc', now()) - make_interval(days => %s)
"""


class Listener:
    """Holds the connection that asks what was sent; opens the pool with it, and closes it after."""

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
            await connection.execute("delete from realtime.undelivered")
            await connection.execute(_PRUNE, (DAYS_KEPT,))
            await self._database.open()
            self._pause = RECONNECT_SECONDS[0]
            while True:
                for row in await (await connection.execute(_TAKE)).fetchall():
                    self._deliver(row)
                await asyncio.sleep(POLL_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hub.has_members.wait(), IDLE_SECONDS)

    def _deliver(self, row: tuple[Any, ...]) -> None:
        topic, event, is_private, payload, row_id = row
        if len((payload or "").encode()) > PAYLOAD_BYTES:
            logger.warning("Broadcast %s is skipped: more than %d bytes", row_id, PAYLOAD_BYTES)
            return
        broadcast = Broadcast(topic, event, json.loads(payload or "{}"), bool(is_private), row_id)
        self._hub.send(broadcast)
