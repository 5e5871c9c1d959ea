"""What breaks outside: what the caller sees, what is stored, and how it heals."""

import asyncio
import uuid
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.config import Settings
from tests.support.bundle import bundle, settings_for
from tests.support.fault_turns import (
    COMPLETED,
    ask,
    turns_of,
    until_answered,
)
from tests.support.proxy import (
    Behaviour,
    Proxy,
    drips,
    hangs,
    refuses,
    replies,
)
from tests.support.users import User
from tests.support.waiting import BOUND

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


@pytest.mark.promise("deadlines")
async def test_a_turn_costs_two_calls_and_everything_else_one(
    stack: Stack, user: User, proxy: Proxy
) -> None:
    """Counted on the wire, with the health check that asks nothing at all."""
    costs: dict[str, list[str]] = {}

    # With time enough that no call is repeated.
    async with bundle(behind(proxy, stack, store_timeout=20), token=user.token) as client:

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
