"""The road to the SQL functions over Postgres itself: directly, or through a pooler in any mode.

The only module that speaks to Postgres while the bundle serves.
"""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import psycopg
from jwt.utils import base64url_decode
from psycopg import sql
from psycopg.pq import TransactionStatus

from ..errors import AppError, SchemaBehindError, UnauthorizedError
from .connections import Connections
from .failures import meaning, unavailable, unstorable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..auth.caller import Caller

CANCEL_SECONDS: Final = 0.5
READ_ONLY: Final = "25006"  # a primary that has become a standby
NOT_THERE: Final = {"42883", "3F000"}  # the function with these arguments, its schema
NO_ROLE: Final = {"22023", "42501"}  # it is missing, or the login role is none of its members

# Settings and call go as one message, which is one round trip and one transaction: the settings end
# with it. Nothing else may hold them, since a pooler gives the connection to anyone next.
AS_ROLE: Final = sql.SQL(
    "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true),"
    " set_config('statement_timeout', %s, true); "
)


class Postgres:
    """Calls SQL functions as `authenticated` with the caller's claims, or as `service_role`.

    `timeout` is what the server gives a call, in seconds: it ends there too when nobody waits.
    """

    def __init__(self, url: str, *, schema: str, timeout: float) -> None:
        self._connections = Connections(url)
        self._schema = schema
        self._milliseconds = str(max(int(timeout * 1000), 1))

    async def call(
        self, function: str, arguments: Mapping[str, Any], *, caller: Caller | None
    ) -> Any:
        """Call a function once; return its value."""
        role, claims = _identity_of(caller)
        try:
            values = (role, claims, self._milliseconds, *map(_as_text, arguments.values()))
            return await self._ask(_query(self._schema, function, tuple(arguments)), values)
        except psycopg.Error as exc:
            raise _meaning(exc, function, role) from exc
        except UnicodeEncodeError as exc:  # half of a surrogate pair in an argument
            raise unstorable() from exc
        except (ValueError, OSError) as exc:
            raise unavailable(function, type(exc).__name__) from exc

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def _ask(self, query: bytes, values: tuple[Any, ...]) -> Any:
        """Ask, and where that is cancelled, let the server cancel it before its place is free."""
        asking = asyncio.create_task(self._ask_on_a_connection(query, values))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            # The first tells the server; where that doesn't answer, the second hangs up.
            for _ in range(2):
                asking.cancel()
                await asyncio.wait({asking}, timeout=CANCEL_SECONDS)
            raise

    async def _ask_on_a_connection(self, query: bytes, values: tuple[Any, ...]) -> Any:
        connection = await self._connections.take()
        try:
            cursor = await connection.execute(query, values)
            cursor.nextset()
            row = await cursor.fetchone()
        except psycopg.Error as exc:
            if connection.broken or exc.sqlstate == READ_ONLY:
                await connection.close()
                await self._connections.close_idle()
            raise
        except BaseException:
            if connection.info.transaction_status != TransactionStatus.IDLE:  # nobody answers
                await self._connections.close_idle()
            await connection.close()  # what it would be given back with, nobody knows
            raise
        finally:
            await self._connections.give_back(connection)
        return row and row[0]


@lru_cache(maxsize=256)
def _query(schema: str, function: str, names: tuple[str, ...]) -> bytes:
    """Write the call. Arguments are text without a type: each is read as its parameter's."""
    arguments = [sql.SQL("{} => %s").format(sql.Identifier(name)) for name in names]
    call = sql.SQL("select {}({})").format(
        sql.Identifier(schema, function), sql.SQL(", ").join(arguments)
    )
    return (AS_ROLE + call).as_bytes()


def _as_text(value: Any) -> str | None:
    """Return an argument as Postgres reads it: text as it is, anything else as JSON writes it."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _identity_of(caller: Caller | None) -> tuple[str, str]:
    """Return the role that a caller acts as, and the claims of the token, which was verified."""
    if caller is None or caller.is_service:
        return "service_role", '{"role":"service_role"}'
    try:
        claims = dict(json.loads(base64url_decode((caller.token or "").split(".")[1])))
    except (ValueError, TypeError, IndexError) as exc:
        raise UnauthorizedError from exc
    own = {"sub": str(caller.user_id), "role": "authenticated"}
    return "authenticated", json.dumps({**claims, **own})


def _meaning(exc: psycopg.Error, function: str, role: str) -> AppError:
    """Translate what Postgres or its driver raised."""
    code, message = exc.sqlstate or "", exc.diag.message_primary or ""
    if not code and isinstance(exc, psycopg.DataError):  # NUL in a text
        return unstorable()
    if not code:
        first_line = str(exc).partition("\n")[0]  # of the network, of a password: nobody's words
        return unavailable(function, f"{type(exc).__name__}: {first_line}")
    if exc.diag.context is None and code in NOT_THERE:
        return SchemaBehindError()
    # Each language of the server's has quotation marks of its own.
    if exc.diag.context is None and code in NO_ROLE and role in message:
        return unavailable(function, message)
    return meaning(code, message, function, as_user=role == "authenticated")
