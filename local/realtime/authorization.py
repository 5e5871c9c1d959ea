"""May this caller listen, may it send: asks the policies on realtime.messages under its role.

Every question is a transaction that is rolled back; nothing of it is ever seen by others.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import psycopg

from local.realtime.jsontext import dump_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.realtime.database import Connection, Database
    from local.realtime.tokens import Identity

BROADCAST: Final = "broadcast"
PRESENCE: Final = "presence"

logger = logging.getLogger(__name__)

_INSERT_PROBES = """
    insert into realtime.messages (topic, extension)
    select %(topic)s, unnest(%(extensions)s::text[])
    returning id
"""
_VISIBLE_PROBES = "select extension from realtime.messages where id = any(%s)"
_INSERT_PROBE = "insert into realtime.messages (topic, extension) values (%s, %s)"
_BECOME = """
    select set_config('realtime.topic', %(topic)s, true),
           set_config('request.jwt.claims', %(claims)s, true),
           set_config('request.jwt.claim.sub', %(sub)s, true),
           set_config('request.jwt.claim.role', %(role)s, true),
           set_config('request.headers', %(headers)s, true),
           set_config('role', %(role)s, true)
"""


class Authorizer:
    """Asks Postgres; knows no rule of its own. Raises DatabaseDownError when it can't ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def readable_extensions(
        self, identity: Identity, topic: str, *, headers: Mapping[str, str]
    ) -> frozenset[str]:
        """Return which of broadcast and presence the caller may receive on a private topic."""
        async with self._database.connection() as connection:
            try:
                async with connection.transaction(force_rollback=True):
                    return await _visible(connection, identity, topic, headers)
            except (psycopg.Error, UnicodeError) as exc:
                _raise_if_unreachable(exc)
                _log_denied(identity, topic, exc)
                return frozenset()

    async def may_send(
        self, identity: Identity, topic: str, extension: str, *, headers: Mapping[str, str]
    ) -> bool:
        """Tell whether the caller may send to a private topic."""
        async with self._database.connection() as connection:
            try:
                async with connection.transaction(force_rollback=True):
                    await _become(connection, identity, topic, headers)
                    await connection.execute(_INSERT_PROBE, (topic, extension))
            except psycopg.errors.InsufficientPrivilege:
                return False
            except (psycopg.Error, UnicodeError) as exc:
                _raise_if_unreachable(exc)
                _log_denied(identity, topic, exc)
                return False
            return True


async def _visible(
    connection: Connection, identity: Identity, topic: str, headers: Mapping[str, str]
) -> frozenset[str]:
    probes = {"topic": topic, "extensions": [BROADCAST, PRESENCE]}
    cursor = await connection.execute(_INSERT_PROBES, probes)
    ids = [row[0] for row in await cursor.fetchall()]
    await _become(connection, identity, topic, headers)
    cursor = await connection.execute(_VISIBLE_PROBES, (ids,))
    return frozenset(row[0] for row in await cursor.fetchall())


async def _become(
    connection: Connection, identity: Identity, topic: str, headers: Mapping[str, str]
) -> None:
    await connection.execute(
        _BECOME,
        {
            "topic": topic,
            "claims": dump_json(dict(identity.claims)),
            "sub": str(identity.claims.get("sub") or ""),
            "role": identity.role,
            "headers": dump_json(dict(headers)),
        },
    )


def _raise_if_unreachable(exc: Exception) -> None:
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        raise exc


def _log_denied(identity: Identity, topic: str, exc: Exception) -> None:
    logger.warning("A policy failed for role %r on topic %r: %s", identity.role, topic, exc)
