"""Turns under faults: how they are asked for, how they end, and leases short enough to wait for."""

import asyncio
from typing import Any

import httpx
import psycopg

from tests.support.users import User

POLL_SECONDS = 0.05

RUNNING = [("running", 1, ["user"])]
COMPLETED = [("completed", 1, ["user", "assistant"])]
TAKEN_OVER = [("completed", 2, ["user", "assistant"])]

# A lease of two seconds, so that a retry can wait for its end.
QUICK = {"store_timeout": 0.75, "realtime_timeout": 0.3}
SHORT_LEASE = {**QUICK, "heartbeat_seconds": 0.05, "lease_seconds": 2}
# One that outlives the fault: the worker itself heals.
LONG_LEASE = {**QUICK, "heartbeat_seconds": 3, "lease_seconds": 32}


async def ask(
    client: httpx.AsyncClient, key: str = "k", request: str = "Hello", **body: Any
) -> httpx.Response:
    """POST mega-mind under a key."""
    headers = {"idempotency-key": key}
    return await client.post("/mega-mind", json={"request": request, **body}, headers=headers)


async def until_answered(
    client: httpx.AsyncClient, key: str = "k", request: str = "Hello", **body: Any
) -> httpx.Response:
    """Ask under the same key until the store has its connections again, or its time.

    For less than a lease that nobody holds: whoever has to wait for one fails here.
    """
    async with asyncio.timeout(30):
        answer = await ask(client, key, request, **body)
        while answer.status_code == 503:
            await asyncio.sleep(POLL_SECONDS)
            answer = await ask(client, key, request, **body)
        return answer


def turns_of(db: psycopg.Connection, user: User, key: str = "%") -> list[tuple[Any, ...]]:
    """Return the user's turns of keys like this: status, attempt and the messages' roles."""
    return db.execute(
        "select t.status, t.attempt, array_agg(m.role order by m.seq)"
        " from turns as t join messages as m on m.turn_id = t.id"
        " where t.user_id = %s and t.idempotency_key like %s group by t.id order by t.started_at",
        (user.id, key),
    ).fetchall()


def expire_leases(db: psycopg.Connection, user: User) -> None:
    """Let the leases of the user's running turns be over."""
    db.execute(
        "update turns set lease_expires_at = now() - interval '1 second'"
        " where user_id = %s and status = 'running'",
        (user.id,),
    )
