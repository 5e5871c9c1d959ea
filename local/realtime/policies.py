"""May this caller listen, may it send: asks the policies on realtime.messages under its role.

Every question is a transaction that is rolled back; nothing of it is ever seen by others.
"""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from local.realtime.database import Connection, Database
    from local.realtime.identity import Identity

logger = logging.getLogger(__name__)

_INSERT_PROBE = """
    insert into realtime.messages (topic, extension) values (%s, 'broadcast') returning id
"""
_INSERT_AS_CALLER = "insert into realtime.messages (topic, extension) values (%s, 'broadcast')"
_SELECT_PROBE = "select 1 from realtime.messages where id = %s"
_BECOME_CALLER = """
    select set_config('realtime.topic', %(topic)s, true),
           set_config('request.jwt.claims', %(claims)s, true),
           set_config('request.jwt.claim.sub', %(sub)s, true),
           set_config('request.jwt.claim.role', %(role)s, true),
           set_config('role', %(role)s, true)
"""


class Policies:
    """Asks Postgres; knows no rule of its own. Raises DatabaseDownError when it can't ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def may_listen(self, identity: Identity, topic: str) -> bool:
        """Say whether the caller may receive what is sent to a private topic."""
        async with self._rolled_back() as connection:
            try:
                cursor = await connection.execute(_INSERT_PROBE, (topic,))
                probe = await cursor.fetchone()
                await _become(connection, identity, topic)
                cursor = await connection.execute(_SELECT_PROBE, probe)
                return await cursor.fetchone() is not None
            except (psycopg.Error, UnicodeError) as exc:
                return _denied(identity, topic, exc)

    async def may_send(self, identity: Identity, topic: str) -> bool:
        """Say whether the caller may send to a private topic."""
        async with self._rolled_back() as connection:
            try:
                await _become(connection, identity, topic)
                await connection.execute(_INSERT_AS_CALLER, (topic,))
            except psycopg.errors.InsufficientPrivilege:
                return False
            except (psycopg.Error, UnicodeError) as exc:
                return _denied(identity, topic, exc)
            return True

    @asynccontextmanager
    async def _rolled_back(self) -> AsyncIterator[Connection]:
        async with (
            self._database.connection() as connection,
            connection.transaction(force_rollback=True),
        ):
            yield connection


async def _become(connection: Connection, identity: Identity, topic: str) -> None:
    caller = {
        "topic": topic,
        "claims": json.dumps(dict(identity.claims)),
        "sub": str(identity.claims.get("sub") or ""),
        "role": identity.role,
    }
    await connection.execute(_BECOME_CALLER, caller)


def _denied(identity: Identity, topic: str, exc: Exception) -> bool:
    """Take an error of the question for a no; one of the connection is none of the policy's."""
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        raise exc
    logger.warning("A policy failed for role %r on topic %r: %s", identity.role, topic, exc)
    return False
