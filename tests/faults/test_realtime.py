"""Realtime is dead, slow, or says yes and does nothing: turns don't notice, and clients load."""

import asyncio
import time
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.turns.broadcaster import SILENT_SECONDS
from tests.support.bundle import bundle, settings_for
from tests.support.engines import TypingEngine
from tests.support.fault_turns import COMPLETED, ask, turns_of
from tests.support.proxy import Behaviour, Proxy, hangs, refuses, replies
from tests.support.users import User
from tests.support.waiting import BOUND

QUICK = {"realtime_timeout": 0.3, "heartbeat_seconds": 0.05}
PIECES = ["One, ", "two, ", "três."]


@pytest.mark.promise("Realtime away")
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
    async with bundle(
        settings_for(stack, supabase_url=proxy.url, **QUICK), token=user.token
    ) as client:
        started = time.monotonic()
        first = await asyncio.wait_for(ask(client, "1"), BOUND)
        later = [await ask(client, str(n)) for n in range(2, 5)]
        took_all = time.monotonic() - started
    assert [answer.status_code for answer in (first, *later)] == [200] * 4
    assert first.json()["success"] is True
    # Within the quiet period only the first turn tries; on a slow machine a second one may.
    assert proxy.calls.count("broadcast") <= 1 + int(took_all // SILENT_SECONDS)
    assert turns_of(db, user) == COMPLETED * 4


@pytest.mark.promise("Realtime away", red="the heartbeat writes no draft")
async def test_a_realtime_that_drops_what_it_accepts_is_missed_by_nobody_who_loads(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """202 and no event: text so far, message and reply all come by loading, and end up the same."""
    proxy.on("broadcast", replies(202, b""))
    engine = TypingEngine(PIECES)
    async with bundle(
        settings_for(stack, supabase_url=proxy.url, **QUICK), token=user.token, engine=engine
    ) as client:
        asking = asyncio.create_task(ask(client, "k"))
        shown = [await load_until(client, user, db, "")]
        for count in range(1, len(PIECES) + 1):
            engine.allow()
            text = "".join(PIECES[:count])
            shown.append(await load_until(client, user, db, text))
        engine.allow()
        answer = (await asking).json()
        first = {"conversationId": answer["conversationId"], "after": 0}
        loaded = (await client.get("/load-conversation", params=first)).json()
        later = (await client.get("/load-conversation", params={**first, "after": 1})).json()
    assert proxy.calls.count("broadcast") > 0  # how many, the project's budget says
    assert [page["openTurn"]["turnId"] for page in shown] == [answer["turnId"]] * len(shown)
    assert answer["message"]["content"] == "".join(PIECES)
    assert loaded["messages"] == [answer["userMessage"], answer["message"]]
    assert (later["messages"], later["openTurn"]) == ([answer["message"]], None)
    assert turns_of(db, user) == COMPLETED


async def load_until(
    client: httpx.AsyncClient, user: User, db: psycopg.Connection, draft: str
) -> dict[str, Any]:
    """Load the user's one conversation until its open turn has said this much."""
    async with asyncio.timeout(BOUND):
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
