"""The stored broadcasts: reads rows of realtime.messages and prunes the old ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from local.realtime.hub import Broadcast
from local.realtime.jsontext import JsonError, load_json, size_of
from local.realtime.limits import PAYLOAD_BYTES, REPLAY_HOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.realtime.database import Connection, Database
    from local.realtime.options import Replay

logger = logging.getLogger(__name__)

_BY_IDS = """
    select id, topic, event, private, payload::text, binary_payload
      from realtime.messages
     where id = any(%s::uuid[]) and extension = 'broadcast' and event is not null
"""
_RECENT = """
    select id, topic, event, private, payload::text, binary_payload
      from realtime.messages
     where topic = %s and private and extension = 'broadcast' and event is not null
       and inserted_at >= to_timestamp(%s::float8 / 1000) at time zone 'utc'
     order by inserted_at desc
     limit %s
"""
_PRUNE = """
    delete from realtime.messages
     where inserted_at < timezone('utc', now()) - make_interval(hours => %s)
"""


async def load_broadcasts(database: Database, ids: Sequence[str]) -> list[Broadcast]:
    """Load the rows of some ids in the order of the ids; gone or unreadable ones are left out."""
    async with database.connection() as connection:
        cursor = await connection.execute(_BY_IDS, (list(ids),))
        rows = {str(row[0]): row for row in await cursor.fetchall()}
    found = (_to_broadcast(rows[row_id], {}) for row_id in ids if row_id in rows)
    return [broadcast for broadcast in found if broadcast is not None]


async def load_replay(database: Database, topic: str, replay: Replay) -> list[Broadcast]:
    """Load what a private topic has sent since a time, the newest few, oldest first."""
    async with database.connection() as connection:
        cursor = await connection.execute(_RECENT, (topic, replay.since, replay.limit))
        rows = await cursor.fetchall()
    found = (_to_broadcast(row, {"replayed": True}) for row in reversed(rows))
    return [broadcast for broadcast in found if broadcast is not None]


async def prune(connection: Connection) -> None:
    """Delete what is older than hosted projects keep."""
    await connection.execute(_PRUNE, (REPLAY_HOURS,))


def _to_broadcast(row: tuple[Any, ...], meta: dict[str, Any]) -> Broadcast | None:
    row_id, topic, event, is_private, text, raw = row
    try:
        payload = raw if raw is not None else load_json(text or "{}")
    except JsonError:
        logger.warning("Broadcast %s is skipped: its payload can't be read", row_id)
        return None
    if size_of(payload) > PAYLOAD_BYTES:
        logger.warning("Broadcast %s is skipped: more than %d bytes", row_id, PAYLOAD_BYTES)
        return None
    return Broadcast(topic, event, payload, bool(is_private), {"id": str(row_id), **meta})
