"""What breaks outside: what the caller sees, what is stored, and how it heals."""

import asyncio
import uuid
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.ai import with_time_limit
from shared.config import Settings
from shared.encoding.storable import unescape
from tests.support.bundle import bundle, settings_for
from tests.support.engines import HangingEngine, ScriptedEngine
from tests.support.fault_turns import (
    COMPLETED,
    TAKEN_OVER,
    ask,
    expire_leases,
    turns_of,
    until_answered,
)
from tests.support.proxy import (
    Behaviour,
    Proxy,
    drips,
    drops_the_answer,
    hangs,
    once,
    passes,
    refuses,
    replies,
    resets_mid_body,
)
from tests.support.users import User
from tests.support.waiting import BOUND, until

UNAVAILABLE = {
    "code": "store_unavailable",
    "message": "The store is not available right now; nothing was lost, try again with the"
    " same key.",
    "details": None,
    "hint": None,
}
# What the store may do instead of answering; what a body means, persistence/test_rpc.py shows.
BROKEN: dict[str, Behaviour] = {
    "reset at once": refuses,
    "hanging": hangs,
    "slow drip": drips,
    "502 with HTML": replies(502, b"<html><h1>Bad gateway</h1></html>"),
    "503 with nothing": replies(503, b""),
    "429 with HTML": replies(429, b"<html>Slow down</html>", retry_after="30"),
    "200 with HTML": replies(200, b"<html>Welcome</html>"),
    "200 with truncated JSON": replies(
        200, b'{"outcome": "started", "turn": {"id": "', content_type="application/json"
    ),
    "no room left": replies(503, {"code": "53100", "message": "disk full", "details": None}),
    "a deadlock": replies(500, {"code": "40P01", "message": "deadlock", "details": None}),
}


def behind(proxy: Proxy, stack: Stack, **overrides: Any) -> Settings:
    """Return settings for a bundle that reaches the stack through the proxy alone."""
    quick = {"store_timeout": 1, "realtime_timeout": 0.3, "drain_seconds": 0.1}
    return settings_for(stack, supabase_url=proxy.url, **{**quick, **overrides})


def assert_unavailable(answer: httpx.Response) -> None:
    """Check that the answer is the one clear 503."""
    assert (answer.status_code, answer.json()) == (503, UNAVAILABLE)
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.promise("deadlines")
@pytest.mark.promise("Postgres away")
@pytest.mark.promise("store away", red="`Store.call` without its deadline")
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_store_is_a_503_in_time_and_the_same_key_succeeds_later(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy, fault: str
) -> None:
    """Nothing is stored meanwhile, reads say the same, and healing needs no restart."""
    async with bundle(behind(proxy, stack), token=user.token) as client:
        proxy.on_everything(BROKEN[fault])
        refused = await asyncio.wait_for(ask(client), BOUND)
        loaded = await client.get(
            "/load-conversation", params={"conversationId": str(uuid.uuid4())}
        )
        before = turns_of(db, user)
        proxy.heal()
        answer = await until_answered(client)
    assert_unavailable(refused)
    assert_unavailable(loaded)
    assert before == []
    assert answer.status_code == 200
    assert turns_of(db, user) == COMPLETED


@pytest.mark.promise("deadlines", red="`ATTEMPTS = 1`")
@pytest.mark.promise("store away", red="`ATTEMPTS = 1`")
@pytest.mark.parametrize("function", ["begin_turn", "complete_turn"])
@pytest.mark.parametrize("fault", [resets_mid_body, drops_the_answer])
async def test_one_lost_answer_is_not_even_noticed(
    stack: Stack,
    user: User,
    db: psycopg.Connection,
    proxy: Proxy,
    function: str,
    fault: Behaviour,
) -> None:
    """The call is repeated under its id and finds that it is done: one turn, one AI call, 200."""
    engine = ScriptedEngine("Done.")
    settings = behind(proxy, stack, store_timeout=10)
    async with bundle(settings, token=user.token, engine=engine) as client:
        proxy.on(function, once(fault))
        answer = await ask(client)
    assert (answer.status_code, answer.json()["replayed"]) == (200, False)
    assert turns_of(db, user) == COMPLETED
    assert engine.requests == ["Hello"]


@pytest.mark.promise("take-over", red="a second worker is set to the turn")
async def test_a_finished_reply_outlives_an_outage_longer_than_its_lease(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """The retry that finds the lease over lets the process store what it has, as attempt 2."""
    engine = ScriptedEngine("First.", hold=True)
    settings = behind(proxy, stack, heartbeat_seconds=0.2, store_retry_seconds=60)
    async with bundle(settings, token=user.token, engine=engine) as client:
        asking = asyncio.create_task(ask(client))
        await asyncio.wait_for(engine.started.wait(), timeout=20)
        proxy.on_everything(refuses)
        engine.release.set()
        unstored = await asking
        expire_leases(db, user)
        engine.message = "Second."
        # The retry comes before the worker's next try and the next heartbeat.
        proxy.on("begin_turn", passes)
        retrying = asyncio.create_task(ask(client))
        await until(lambda: turns_of(db, user) == [("running", 2, ["user"])])
        proxy.heal()
        first = await retrying
        answer = first if first.status_code == 200 else await until_answered(client)
    assert (unstored.status_code, unstored.json()["code"]) == (503, "reply_not_stored")
    assert (answer.status_code, answer.json()["message"]["content"]) == (200, "First.")
    assert turns_of(db, user) == TAKEN_OVER
    assert engine.requests == ["Hello"]


@pytest.mark.promise("fencing", red="`complete_turn` without `attempt`")
async def test_a_worker_that_wakes_up_while_another_has_the_turn_cannot_write(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """It has to wait, and the reply is the other's."""
    slow, other = ScriptedEngine("Too late.", hold=True), ScriptedEngine("Mine.", hold=True)
    settings = settings_for(stack)
    async with (
        bundle(settings, token=user.token, engine=slow) as sleeper,
        bundle(settings, token=user.token, engine=other) as worker,
    ):
        sleeping = asyncio.create_task(ask(sleeper))
        await asyncio.wait_for(slow.started.wait(), timeout=20)
        expire_leases(db, user)
        working = asyncio.create_task(ask(worker))
        await asyncio.wait_for(other.started.wait(), timeout=20)
        slow.release.set()
        late = await sleeping
        between = turns_of(db, user)
        other.release.set()
        answer = await working
    assert (late.status_code, late.json()["code"]) == (409, "turn_in_progress")
    assert between == [("running", 2, ["user"])]
    assert answer.json()["message"]["content"] == "Mine."
    assert turns_of(db, user) == TAKEN_OVER


@pytest.mark.promise("deadlines")
async def test_a_turn_costs_two_calls_and_everything_else_one(
    stack: Stack, user: User, proxy: Proxy
) -> None:
    """Counted on the wire, with the health check that asks nothing at all."""
    costs: dict[str, list[str]] = {}

    async with bundle(behind(proxy, stack), token=user.token) as client:

        async def cost(name: str, method: str, path: str, **more: Any) -> httpx.Response:
            before = len(proxy.rpc_calls)
            answer = await client.request(method, path, **more)
            assert answer.status_code < 300
            costs[name] = proxy.rpc_calls[before:]
            return answer

        sent = await cost("turn", "POST", "/mega-mind", json={"request": "x"})
        own = {"conversationId": sent.json()["conversationId"]}
        path = f"/conversations/{own['conversationId']}"
        await cost("next turn", "POST", "/mega-mind", json={"request": "y", **own})
        unstored = {"request": "z", "persistMessages": False}
        await cost("unstored", "POST", "/mega-mind", json=unstored)
        await cost("load", "GET", "/load-conversation", params=own)
        await cost("load by post", "POST", "/load-conversation", json=own)
        await cost("list", "GET", "/conversations")
        await cost("search", "GET", "/search-messages", params={"q": "x"})
        await cost("create", "POST", "/conversations", json={})
        await cost("get", "GET", path)
        await cost("update", "PATCH", path, json={"title": "New"})
        await cost("delete", "DELETE", path)
        await cost("health", "GET", "/health")
        await cost("deep health", "GET", "/health", params={"deep": "1"})
    assert costs == {
        "turn": ["begin_turn", "complete_turn"],
        "next turn": ["begin_turn", "complete_turn"],
        "unstored": ["count_unstored_turn"],
        "load": ["load_conversation"],
        "load by post": ["load_conversation"],
        "list": ["list_conversations"],
        "search": ["search_messages"],
        "create": ["create_conversation"],
        "get": ["get_conversation"],
        "update": ["update_conversation"],
        "delete": ["delete_conversation"],
        "health": [],
        "deep health": ["ping", "check_invariants"],
    }
    assert set(proxy.calls) - set(proxy.rpc_calls) <= {"broadcast"}


async def test_a_refused_request_costs_the_store_nothing(
    stack: Stack, user: User, proxy: Proxy
) -> None:
    """Wrong input is answered before anything is asked."""
    async with bundle(behind(proxy, stack), token=user.token) as client:
        statuses = [
            (await client.post("/mega-mind", json={"request": ""})).status_code,
            (await client.get("/load-conversation", params={"conversationId": "x"})).status_code,
            (await client.get("/conversations", params={"cursor": "x"})).status_code,
            (await client.post("/conversations", json={"title": ""})).status_code,
        ]
    assert statuses == [400] * 4
    assert proxy.calls == []


@pytest.mark.promise("model fails")
async def test_an_ai_that_hangs_ends_as_a_stored_timeout(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """The answer is a 200 that says so, and the turn is settled."""
    engine = with_time_limit(HangingEngine(), 0.2)
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        answer = await ask(client)
    reply = (await user.load(answer.json()["conversationId"])).json()["messages"][-1]
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert reply == answer.json()["message"]
    assert reply["metadata"]["error"]["type"] == "timeout"
    assert turns_of(db, user) == [("failed", 1, ["user", "assistant"])]


@pytest.mark.promise("any text", red="`compose_reply` without its escaper")
@pytest.mark.promise("model fails", red="`compose_reply` without its escaper")
@pytest.mark.parametrize(
    "text",
    ["spelled \\u0000 and \x00", "half \ud83d"],
    ids=ascii,
)
async def test_a_reply_that_postgres_cannot_hold_is_stored_escaped(
    stack: Stack, user: User, text: str
) -> None:
    """It can be turned back, and its metadata says that it has to be."""
    async with bundle(settings_for(stack), token=user.token, engine=ScriptedEngine(text)) as client:
        answer = (await ask(client)).json()
    reply = (await user.load(answer["conversationId"])).json()["messages"][-1]
    assert reply == answer["message"]
    assert reply["metadata"]["escaped"] is True
    assert unescape(reply["content"]) == text
