"""Realtime is dead, slow, or says yes and does nothing: turns don't notice, and clients load."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.config import Settings
from shared.turns.broadcaster import SILENT_SECONDS
from tests.support.bundle import bundle, settings_for
from tests.support.engines import TypingEngine
from tests.support.proxy import Behaviour, Proxy, hangs, proxy_to, refuses, replies
from tests.support.users import User

SLACK = 5.0  # a busy machine, not a promise
PIECES = ["One, ", "two, ", "três."]
ONE_TURN = [("completed", 1, ["user", "assistant"])]


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[Proxy]:
    """The stack behind a proxy that the test may spoil."""
    async with proxy_to(stack.settings.url) as running:
        yield running


def behind(proxy: Proxy, stack: Stack, **overrides: Any) -> Settings:
    """Return settings for a bundle that reaches the stack through the proxy alone."""
    quick = {"realtime_timeout": 0.3, "heartbeat_seconds": 0.05}
    return settings_for(stack, supabase_url=proxy.url, **{**quick, **overrides})


async def ask(client: httpx.AsyncClient, key: str) -> httpx.Response:
    """POST mega-mind under a key."""
    return await client.post(
        "/mega-mind", json={"request": "Hello"}, headers={"Idempotency-Key": key}
    )


def turns_of(db: psycopg.Connection, user: User) -> list[tuple[Any, ...]]:
    """Return each of the user's turns: its status, attempt and the roles of its messages."""
    return db.execute(
        "select t.status, t.attempt, array_agg(m.role order by m.seq)"
        " from turns as t join messages as m on m.turn_id = t.id"
        " where t.user_id = %s group by t.id order by t.started_at",
        (user.id,),
    ).fetchall()


@pytest.mark.parametrize(
    "fault",
    [refuses, hangs, replies(429, b"slow down", retry_after="60"), replies(500, b"<html>")],
    ids=["refusing", "hanging", "429", "500"],
)
async def test_a_dead_realtime_neither_fails_nor_holds_up_a_turn(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy, fault: Behaviour
) -> None:
    """One send is tried; the turns right after it don't even try."""
    proxy.on("broadcast", fault)
    async with bundle(behind(proxy, stack), token=user.token) as client:
        started = time.monotonic()
        first = await ask(client, "1")
        took = time.monotonic() - started
        later = [await ask(client, str(n)) for n in range(2, 5)]
        took_all = time.monotonic() - started
    assert [answer.status_code for answer in (first, *later)] == [200] * 4
    assert first.json()["success"] is True
    assert took < 0.3 + SLACK
    # Within the quiet period only the first turn tries; on a slow machine a second one may.
    assert proxy.calls.count("broadcast") <= 1 + int(took_all // SILENT_SECONDS)
    assert turns_of(db, user) == ONE_TURN * 4


async def test_a_realtime_that_drops_what_it_accepts_is_missed_by_nobody_who_loads(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """202 and no event: text so far, message and reply all come by loading, and end up the same."""
    proxy.on("broadcast", replies(202, b""))
    engine = TypingEngine(PIECES)
    async with bundle(behind(proxy, stack), token=user.token, engine=engine) as client:
        asking = asyncio.create_task(ask(client, "k"))
        shown = [await load_until(client, user, db, "", seconds=20)]
        for count in range(1, len(PIECES) + 1):
            engine.allow()
            told = "".join(PIECES[:count])
            shown.append(await load_until(client, user, db, told, seconds=20))
        engine.allow()
        answer = (await asking).json()
        first = {"conversationId": answer["conversationId"], "after": 0}
        loaded = (await client.get("/load-conversation", params=first)).json()
        later = (await client.get("/load-conversation", params={**first, "after": 1})).json()
    assert proxy.calls.count("broadcast") > 1
    assert [page["openTurn"]["turnId"] for page in shown] == [answer["turnId"]] * len(shown)
    assert answer["message"]["content"] == "".join(PIECES)
    assert loaded["messages"] == [answer["userMessage"], answer["message"]]
    assert (later["messages"], later["openTurn"]) == ([answer["message"]], None)
    assert turns_of(db, user) == ONE_TURN


async def load_until(
    client: httpx.AsyncClient, user: User, db: psycopg.Connection, draft: str, *, seconds: float
) -> dict[str, Any]:
    """Load the user's one conversation until its open turn has said this much."""
    async with asyncio.timeout(seconds):
        while True:
            found = db.execute(
                "select id::text from conversations where user_id = %s", (user.id,)
            ).fetchone()
            if found is not None:
                query = {"conversationId": found[0]}
                page = (await client.get("/load-conversation", params=query)).json()
                if page["openTurn"]["draft"] == draft:
                    return dict(page)
            await asyncio.sleep(0.02)
