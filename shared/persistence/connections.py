"""Connections to Postgres: those that are open and idle, and how one is opened."""

from __future__ import annotations

import asyncio
import select
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from ..config import ConfigurationError

if TYPE_CHECKING:
    Connection = AsyncConnection[tuple[Any, ...]]

IDLE_SECONDS: Final = 60.0  # what rested longer may have been cut on the way without a word

# Where the URL doesn't say otherwise.
DEFAULTS: Final[dict[str, str]] = {
    "application_name": "message-persistence",
    "connect_timeout": "3",
    "dbname": "postgres",
}

# What hosts and other drivers write into such a URL, for other drivers.
OTHERS: Final = {
    "connection_limit",
    "pgbouncer",
    "pool_timeout",
    "prepared_statements",
    "schema",
    "socket_timeout",
    "statement_cache_size",
    "supa",
    "workaround",
}


NO_URL: Final = (
    "a URL of Postgres can't be read: are special characters of its password percent-encoded,"
    " and its parameters libpq's?"
)


class Connections:
    """Connections of one process, which have no state of their own between two calls.

    Whoever needs one takes one that is idle, or opens another: how many there are is for the
    callers to bound. So after an outage the first call finds Postgres again, not a later one.

    Raises ConfigurationError if the URL is none.
    """

    def __init__(self, url: str) -> None:
        self._conninfo = _conninfo_of(url)
        self._idle: list[tuple[Connection, float]] = []  # with when it came back; the newest last
        self._is_open = True
        self._resting: asyncio.TimerHandle | None = None

    async def take(self) -> Connection:
        """Return a connection of one's own."""
        while self._idle:
            connection, since = self._idle.pop()
            if _is_fresh(connection, since):
                return connection
            await connection.close()
        # Each statement is sent as text, in one message: nothing is prepared, which a pooler that
        # hands connections out for a transaction at a time could not keep.
        return await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=AsyncClientCursor,
        )

    async def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next call; close it if it is broken or in the midst of one."""
        is_idle = connection.info.transaction_status == TransactionStatus.IDLE
        if is_idle and self._is_open:
            self._idle.append((connection, time.monotonic()))
            self._rest_later()
        else:
            await connection.close()

    def _rest_later(self) -> None:
        """See to it that a process at rest keeps nothing from others who share a pooler."""
        if self._resting is None and self._idle:
            loop = asyncio.get_running_loop()
            self._resting = loop.call_later(IDLE_SECONDS, self._close_rested)

    def _close_rested(self) -> None:
        self._resting = None
        while self._idle and not _is_fresh(*self._idle[0]):
            self._idle.pop(0)[0].pgconn.finish()
        self._rest_later()

    async def close_idle(self) -> None:
        """Close what is idle: where one connection broke, the others have as well."""
        while self._idle:
            await self._idle.pop()[0].close()

    async def aclose(self) -> None:
        """Close them all, those in use when they come back."""
        self._is_open = False
        await self.close_idle()


def _conninfo_of(url: str) -> str:
    """Return what libpq connects by; raise ConfigurationError, which repeats no password."""
    address, _, query = url.partition("?")
    pairs = [pair for pair in query.split("&") if pair.partition("=")[0] not in OTHERS]
    try:
        read = conninfo_to_dict("?".join(filter(None, (address, "&".join(pairs)))))
    except psycopg.Error:
        raise ConfigurationError(NO_URL) from None
    ports = str(read.get("port", "")).replace(",", "")
    if "@" in f"{read.get('host')}{read.get('dbname')}" or not f"0{ports}".isdecimal():
        raise ConfigurationError(NO_URL)
    parameters: dict[str, Any] = {**DEFAULTS, **read, "client_encoding": "utf8"}
    return make_conninfo(**parameters)


def _is_fresh(connection: Connection, since: float) -> bool:
    """Whether an idle connection can be used: nothing came on it, such as that its server ended."""
    if time.monotonic() - since > IDLE_SECONDS:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
