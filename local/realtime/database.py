"""The server's connections to Postgres. They live only while the listener says that it is there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from local.realtime.errors import DatabaseDownError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POOL_CONNECTIONS = 8
POOL_SECONDS = 3.0  # clients give a join 10 s
STATEMENT_MILLISECONDS = 3_000

Connection: TypeAlias = "psycopg.AsyncConnection[tuple[Any, ...]]"


class Database:
    """A pool that opens when the database is known to be up, and refuses at once while it isn't."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: AsyncConnectionPool[Connection] | None = None

    @property
    def is_open(self) -> bool:
        """Whether questions are answered now."""
        return self._pool is not None

    async def connect(self) -> Connection:
        """Open a connection outside the pool, in autocommit mode."""
        return await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=3, application_name="realtime listener"
        )

    async def open(self) -> None:
        """Open the pool; raises PoolTimeout where the database does not answer."""
        pool = AsyncConnectionPool(
            self._url,
            min_size=1,
            max_size=POOL_CONNECTIONS,
            timeout=POOL_SECONDS,
            open=False,
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": 3,
                "application_name": "realtime",
                "options": f"-c statement_timeout={STATEMENT_MILLISECONDS}",
            },
        )
        try:
            await pool.open(wait=True, timeout=POOL_SECONDS)
        except BaseException:
            await pool.close(timeout=1.0)
            raise
        self._pool = pool

    async def close(self) -> None:
        """Close the pool; from now on every question is refused."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(timeout=1.0)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a superuser connection; an unreachable database becomes DatabaseDownError."""
        pool = self._pool
        if pool is None:
            raise DatabaseDownError(
                "InitializingProjectConnection", "Realtime is waiting for the database"
            )
        try:
            async with pool.connection() as connection:
                yield connection
        except PoolTimeout as exc:
            raise DatabaseDownError(
                "DatabaseLackOfConnections", "Database can't accept more connections"
            ) from exc
        except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
            raise DatabaseDownError(
                "InitializingProjectConnection", "The database did not answer"
            ) from exc
