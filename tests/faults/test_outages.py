"""What breaks outside: what the caller sees, what is stored, and how it heals."""

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.ai import with_time_limit
from shared.config import Settings
from shared.encoding.storable import unescape
from tests.support.bundle import bundle, container_of, settings_for
from tests.support.engines import FailingEngine, HangingEngine, ScriptedEngine, TypingEngine
from tests.support.fault_turns import until_answered
from tests.support.proxy import (
    Behaviour,
    Exchange,
    Proxy,
    answers_after,
    drips,
    drops_the_answer,
    hangs,
    late,
    once,
    passes,
    proxy_to,
    refuses,
    replies,
    resets_mid_body,
)
from tests.support.sse import read_events, text_of
from tests.support.stack import free_ports
from tests.support.users import User

STORE_TIMEOUT = 1.0
SLACK = 5.0  # a busy machine, not a promise
UNAVAILABLE = {
    "code": "store_unavailable",
    "message": "The store is not available right now; nothing was lost, try again with the"
    " same key.",
    "details": None,
    "hint": None,
}
TRUNCATED = b'{"outcome": "started", "turn": {"id": "'

# What the store may do instead of answering.
BROKEN: dict[str, Behaviour] = {
    "reset at once": refuses,
    "hanging": hangs,
    "slow drip": drips,
    "500 with JSON": replies(500, {"code": "XX000", "message": "internal", "details": None}),
    "502 with HTML": replies(502, b"<html><h1>Bad gateway</h1></html>"),
    "503 with nothing": replies(503, b""),
    "429 with HTML": replies(429, b"<html>Slow down</html>", retry_after="30"),
    "429 with JSON": replies(429, {"message": "rate limited"}, retry_after="30"),
    "422 with HTML": replies(422, b"<html>no</html>"),
    "200 with HTML": replies(200, b"<html>Welcome</html>"),
    "200 with nothing": replies(200, b""),
    "200 with null": replies(200, None),
    "200 with a list": replies(200, []),
    "200 with another object": replies(200, {"hello": "world"}),
    "200 with truncated JSON": replies(200, TRUNCATED, content_type="application/json"),
    "a redirect": replies(302, b"", location="http://127.0.0.1:9/"),
    "too many connections": replies(503, {"code": "53300", "message": "too many", "details": None}),
    "no room left": replies(503, {"code": "53100", "message": "disk full", "details": None}),
    "a deadlock": replies(500, {"code": "40P01", "message": "deadlock", "details": None}),
    "a statement timeout": replies(500, {"code": "57014", "message": "cancel", "details": None}),
    "no pooled connection": replies(504, {"code": "PGRST003", "message": "pool", "details": None}),
}


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[Proxy]:
    """The stack behind a proxy that the test may spoil."""
    async with proxy_to(stack.settings.url) as running:
        yield running


def behind(proxy: Proxy, stack: Stack, **overrides: Any) -> Settings:
    """Return settings for a bundle that reaches the stack through the proxy alone."""
    quick = {"store_timeout": STORE_TIMEOUT, "realtime_timeout": 0.3, "drain_seconds": 0.1}
    return settings_for(stack, supabase_url=proxy.url, **{**quick, **overrides})


async def ask(client: httpx.AsyncClient, key: str, **body: Any) -> httpx.Response:
    """POST mega-mind under a key."""
    sent = {"request": "Hello", **body}
    return await client.post("/mega-mind", json=sent, headers={"Idempotency-Key": key})


def assert_unavailable(answer: httpx.Response) -> None:
    """Check that the answer is the one clear 503."""
    assert (answer.status_code, answer.json()) == (503, UNAVAILABLE)
    assert int(answer.headers["retry-after"]) > 0


def turns_of(db: psycopg.Connection, user: User) -> list[tuple[Any, ...]]:
    """Return each of the user's turns: its status, attempt and the roles of its messages."""
    return db.execute(
        "select t.status, t.attempt, array_agg(m.role order by m.seq)"
        " from turns as t join messages as m on m.turn_id = t.id"
        " where t.user_id = %s group by t.id order by t.started_at",
        (user.id,),
    ).fetchall()


def expire_lease(db: psycopg.Connection, user: User) -> None:
    """Let the leases of the user's running turns be over."""
    db.execute(
        "update turns set lease_expires_at = now() - interval '1 second'"
        " where user_id = %s and status = 'running'",
        (user.id,),
    )


def draft_of(db: psycopg.Connection, user: User) -> str:
    """Return what the store has of the user's one turn's draft."""
    found = db.execute("select draft from turns where user_id = %s", (user.id,)).fetchone()
    return str(found[0]) if found else ""


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - rows, which say nothing of a change
            await asyncio.sleep(0.02)


ONE_TURN = [("completed", 1, ["user", "assistant"])]


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_store_is_a_503_in_time_and_the_same_key_succeeds_later(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy, fault: str
) -> None:
    """Nothing is stored meanwhile, reads say the same, and healing needs no restart."""
    async with bundle(behind(proxy, stack), token=user.token) as client:
        proxy.on_everything(BROKEN[fault])
        started = time.monotonic()
        refused = await ask(client, "k")
        took = time.monotonic() - started
        loaded = await client.get(
            "/load-conversation", params={"conversationId": str(uuid.uuid4())}
        )
        before = turns_of(db, user)
        proxy.heal()
        answer = await until_answered(client)
    assert_unavailable(refused)
    assert_unavailable(loaded)
    assert took < STORE_TIMEOUT + SLACK
    assert before == []
    assert answer.status_code == 200
    assert turns_of(db, user) == ONE_TURN


async def test_a_store_that_listens_nowhere_is_a_503_everywhere(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Each endpoint says so; health stays well, unless asked to look deeper."""
    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    settings = settings_for(stack, supabase_url=closed, store_timeout=STORE_TIMEOUT)
    some = f"/conversations/{uuid.uuid4()}"
    async with bundle(settings, token=user.token) as client:
        answers = [
            await ask(client, "k"),
            await client.get("/load-conversation", params={"conversationId": str(uuid.uuid4())}),
            await client.get("/conversations"),
            await client.post("/conversations", json={}),
            await client.get(some),
            await client.patch(some, json={"archived": True}),
            await client.delete(some),
            await client.get("/health", params={"deep": "1"}),
        ]
        health = await client.get("/health")
    for answer in answers:
        assert_unavailable(answer)
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    async with bundle(settings_for(stack), token=user.token) as client:
        healed = await ask(client, "k")
        deep = await client.get("/health", params={"deep": "1"})
    assert healed.status_code == 200
    assert {"status": "ok", "store": "ok"}.items() <= deep.json().items()
    assert turns_of(db, user) == ONE_TURN


@pytest.mark.parametrize("fault", [resets_mid_body, drops_the_answer])
async def test_begin_turn_whose_answer_is_lost_ends_in_one_turn(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy, fault: Behaviour
) -> None:
    """Lost again and again: 503, then 409 elsewhere under the lease, then one takeover."""
    settings = behind(proxy, stack, retry_wait_seconds=0.1, store_timeout=5)
    async with bundle(settings, token=user.token) as client:
        proxy.on("begin_turn", fault)
        assert_unavailable(await ask(client, "k"))
        assert turns_of(db, user) == [("running", 1, ["user"])]
        proxy.heal()
    async with bundle(settings, token=user.token) as client:
        busy = await ask(client, "k")
        expire_lease(db, user)
        answer = await until_answered(client)
    assert (busy.status_code, busy.json()["code"]) == (409, "turn_in_progress")
    assert busy.json()["details"]["turnId"] == answer.json()["turnId"]
    assert int(busy.headers["retry-after"]) > 0
    assert (answer.status_code, answer.json()["replayed"]) == (200, False)
    assert turns_of(db, user) == [("completed", 2, ["user", "assistant"])]


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
        answer = await ask(client, "k")
    assert (answer.status_code, answer.json()["replayed"]) == (200, False)
    assert turns_of(db, user) == ONE_TURN
    assert engine.requests == ["Hello"]


@pytest.mark.parametrize("fault", ["reset at once", "hanging", "502 with HTML", "429 with HTML"])
async def test_a_reply_that_can_not_be_stored_is_given_away_and_stored_later(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy, fault: str
) -> None:
    """503 with the reply; the same key stores it without asking the AI again."""
    engine = ScriptedEngine("Done.")
    settings = behind(proxy, stack, store_timeout=5)
    async with bundle(settings, token=user.token, engine=engine) as client:
        proxy.on("complete_turn", BROKEN[fault])
        unstored = await ask(client, "k")
        assert turns_of(db, user) == [("running", 1, ["user"])]
        proxy.heal()
        answer = await until_answered(client)
    assert (unstored.status_code, unstored.json()["code"]) == (503, "reply_not_stored")
    assert unstored.json()["persisted"] is False
    assert unstored.json()["reply"]["content"] == "Done."
    assert unstored.json()["details"]["turnId"] == answer.json()["turnId"]
    assert answer.status_code == 200
    assert answer.json()["message"]["content"] == "Done."
    assert answer.json()["message"]["metadata"] == unstored.json()["reply"]["metadata"]
    assert turns_of(db, user) == ONE_TURN
    assert engine.requests == ["Hello"]


async def test_a_finished_reply_outlives_an_outage_longer_than_its_lease(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """The retry that finds the lease over lets the process store what it has, as attempt 2."""
    engine = ScriptedEngine("First.", hold=True)
    settings = behind(proxy, stack, heartbeat_seconds=0.2, store_retry_seconds=60)
    async with bundle(settings, token=user.token, engine=engine) as client:
        asking = asyncio.create_task(ask(client, "k"))
        await asyncio.wait_for(engine.started.wait(), timeout=20)
        proxy.on_everything(refuses)
        engine.release.set()
        unstored = await asking
        expire_lease(db, user)
        engine.message = "Second."
        # The retry comes before the worker's next try and the next heartbeat.
        proxy.on("begin_turn", passes)
        retrying = asyncio.create_task(ask(client, "k"))
        await until(lambda: turns_of(db, user) == [("running", 2, ["user"])])
        proxy.heal()
        first = await retrying
        answer = first if first.status_code == 200 else await until_answered(client)
    assert (unstored.status_code, unstored.json()["code"]) == (503, "reply_not_stored")
    assert (answer.status_code, answer.json()["message"]["content"]) == (200, "First.")
    assert turns_of(db, user) == [("completed", 2, ["user", "assistant"])]
    assert engine.requests == ["Hello"]


async def test_a_worker_whose_lease_ran_out_writes_on_as_the_next_attempt(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """The AI runs once, whoever watches reads on, and the store has the draft from its start."""
    engine = TypingEngine(["One, ", "two, ", "three."])
    settings = behind(proxy, stack, heartbeat_seconds=0.2)
    async with bundle(settings, token=user.token, engine=engine) as client:
        headers = {"idempotency-key": "k", "accept": "text/event-stream"}
        body = {"request": "Hello"}
        watching = asyncio.create_task(client.post("/mega-mind", json=body, headers=headers))
        engine.allow(1)
        await until(lambda: draft_of(db, user) == "One, ")
        proxy.on("extend_turns", refuses)
        expire_lease(db, user)
        retrying = asyncio.create_task(ask(client, "k"))
        await until(lambda: turns_of(db, user) == [("running", 2, ["user"])])
        emptied = draft_of(db, user)
        proxy.heal()
        engine.allow(1)
        await until(lambda: draft_of(db, user) == "One, two, ")
        engine.allow(2)
        answer = await retrying
        events = [event async for event in read_events(await watching)]
    assert emptied == ""
    assert answer.json()["message"]["content"] == text_of(events) == "One, two, three."
    assert [event.data["attempt"] for event in events if event.name == "accepted"] == [1]
    assert turns_of(db, user) == [("completed", 2, ["user", "assistant"])]
    assert engine.runs == 1


async def test_a_turn_whose_caller_leaves_while_it_begins_is_worked_on_all_the_same(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """Gone between the commit and its answer; a process that ends waits for both."""
    begun, told = asyncio.Event(), asyncio.Event()
    engine = ScriptedEngine("Done.")
    settings = behind(proxy, stack, store_timeout=10, drain_seconds=25)
    async with bundle(settings, token=user.token, engine=engine) as client:
        proxy.on("begin_turn", answers_after(begun, told))
        asking = asyncio.create_task(ask(client, "k"))
        await asyncio.wait_for(begun.wait(), timeout=20)
        await leave(asking)
        asyncio.get_running_loop().call_later(0.2, told.set)
    assert turns_of(db, user) == ONE_TURN
    assert engine.requests == ["Hello"]


async def test_a_turn_whose_watcher_leaves_while_it_is_taken_over_is_worked_on_all_the_same(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """A stream that waited for the end of a lease is the one that takes the turn over."""
    begun, told = asyncio.Event(), asyncio.Event()
    engine = ScriptedEngine("Done.")
    settings = behind(proxy, stack, store_timeout=5)
    async with bundle(settings, token=user.token, engine=engine) as client:
        proxy.on("begin_turn", drops_the_answer)
        assert_unavailable(await ask(client, "k"))
        proxy.heal()
    async with bundle(settings, token=user.token, engine=engine) as client:
        headers = {"idempotency-key": "k", "accept": "text/event-stream"}
        body = {"request": "Hello"}
        watching = asyncio.create_task(client.post("/mega-mind", json=body, headers=headers))
        await until(lambda: "load_turn" in proxy.rpc_calls)
        proxy.on("begin_turn", answers_after(begun, told))
        expire_lease(db, user)
        await asyncio.wait_for(begun.wait(), timeout=20)
        await leave(watching)
        told.set()
        await until(lambda: turns_of(db, user) == [("completed", 2, ["user", "assistant"])])
    assert engine.requests == ["Hello"]


async def test_a_begin_that_fails_once_its_caller_has_left_is_nobodys_error(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """Nothing is left of it: no task, no turn, no exception that nobody has seen."""
    asked = asyncio.Event()
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    async def says_so_and_hangs(_: Exchange) -> None:
        asked.set()
        await asyncio.Event().wait()

    settings = behind(proxy, stack, drain_seconds=25)
    async with bundle(settings, token=user.token) as client:
        proxy.on("begin_turn", says_so_and_hangs)
        asking = asyncio.create_task(ask(client, "k"))
        await asyncio.wait_for(asked.wait(), timeout=20)
        await leave(asking)
        was_working = len(container_of(client).working)
        await until(lambda: not container_of(client).working)
    del asking  # and with it what its traceback holds
    gc.collect()
    assert (was_working, turns_of(db, user), unseen) == (1, [], [])


async def leave(asking: asyncio.Task[Any]) -> None:
    """Go away as a client does, whose request is cancelled with it."""
    asking.cancel()
    await asyncio.wait({asking})


async def test_complete_turn_whose_every_answer_is_lost_is_replayed(
    stack: Stack, user: User, db: psycopg.Connection, proxy: Proxy
) -> None:
    """The reply was committed, so the same key gives it back without asking the AI again."""
    engine = ScriptedEngine("Done.")
    async with bundle(behind(proxy, stack), token=user.token, engine=engine) as client:
        proxy.on("complete_turn", drops_the_answer)
        unsure = await ask(client, "k")
        proxy.heal()
        answer = await until_answered(client)
    assert (unsure.status_code, unsure.json()["persisted"]) == (503, False)
    assert answer.status_code == 200
    assert answer.json()["message"]["content"] == "Done."
    assert turns_of(db, user) == ONE_TURN
    assert engine.requests == ["Hello"]


async def test_a_worker_that_wakes_up_past_its_lease_cannot_write(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Another took over and replied; the sleeper gives back that reply instead of its own."""
    slow, quick = ScriptedEngine("Too late.", hold=True), ScriptedEngine("In time.")
    settings = settings_for(stack)
    async with (
        bundle(settings, token=user.token, engine=slow) as sleeper,
        bundle(settings, token=user.token, engine=quick) as other,
    ):
        sleeping = asyncio.create_task(ask(sleeper, "k"))
        await asyncio.wait_for(slow.started.wait(), timeout=20)
        expire_lease(db, user)
        answer = await ask(other, "k")
        slow.release.set()
        late = await sleeping
    assert answer.json()["message"]["content"] == "In time."
    assert (late.status_code, late.json()["replayed"]) == (200, True)
    assert late.json()["message"] == answer.json()["message"]
    assert turns_of(db, user) == [("completed", 2, ["user", "assistant"])]


async def test_a_worker_that_wakes_up_while_another_has_the_turn_cannot_write(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """It is told to wait, and the reply is the other's."""
    slow, other = ScriptedEngine("Too late.", hold=True), ScriptedEngine("Mine.", hold=True)
    settings = settings_for(stack)
    async with (
        bundle(settings, token=user.token, engine=slow) as sleeper,
        bundle(settings, token=user.token, engine=other) as worker,
    ):
        sleeping = asyncio.create_task(ask(sleeper, "k"))
        await asyncio.wait_for(slow.started.wait(), timeout=20)
        expire_lease(db, user)
        working = asyncio.create_task(ask(worker, "k"))
        await asyncio.wait_for(other.started.wait(), timeout=20)
        slow.release.set()
        late = await sleeping
        between = turns_of(db, user)
        other.release.set()
        answer = await working
    assert (late.status_code, late.json()["code"]) == (409, "turn_in_progress")
    assert between == [("running", 2, ["user"])]
    assert answer.json()["message"]["content"] == "Mine."
    assert turns_of(db, user) == [("completed", 2, ["user", "assistant"])]


async def test_a_turn_costs_two_calls_and_everything_else_one(
    stack: Stack, user: User, proxy: Proxy
) -> None:
    """CountedTurn on the wire, with the health check that asks nothing at all."""
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
        "unstored": [],
        "load": ["load_conversation"],
        "load by post": ["load_conversation"],
        "list": ["list_conversations"],
        "search": ["search_messages"],
        "create": ["create_conversation"],
        "get": ["get_conversation"],
        "update": ["update_conversation"],
        "delete": ["ping", "delete_conversation"],  # which may take long: is anybody there?
        "health": [],
        "deep health": ["ping", "check_invariants"],
    }
    assert set(proxy.calls) - set(proxy.rpc_calls) <= {"broadcast"}


async def test_a_removal_may_take_its_time_but_not_in_finding_nobody(
    stack: Stack, user: User, proxy: Proxy
) -> None:
    """Past the deadline of other calls it is waited for; a store that is away is a 503 in time."""
    own = (await user.send("Hello")).json()["conversationId"]
    async with bundle(behind(proxy, stack), token=user.token) as client:
        proxy.on("delete_conversation", late(2 * STORE_TIMEOUT))
        deleted = await client.delete(f"/conversations/{own}")
        proxy.on_everything(hangs)
        started = time.monotonic()
        away = await client.delete(f"/conversations/{uuid.uuid4()}")
        took = time.monotonic() - started
    assert deleted.json() == {"deleted": own}
    assert_unavailable(away)
    assert took < STORE_TIMEOUT + SLACK


async def test_what_can_not_be_counted_is_not_run(stack: Stack, user: User, proxy: Proxy) -> None:
    """With a limit set, a run that stores nothing needs the store: 503, and the AI isn't asked."""
    engine = ScriptedEngine("Done.")
    settings = behind(proxy, stack, turns_per_minute=1)
    async with bundle(settings, token=user.token, engine=engine) as client:
        proxy.on("count_unstored_turn", refuses)
        refused = await ask(client, "k", persistMessages=False)
        asked = list(engine.requests)
        proxy.heal()
        answer = await ask(client, "k", persistMessages=False)
    assert_unavailable(refused)
    assert (asked, answer.status_code) == ([], 200)
    assert proxy.rpc_calls == ["count_unstored_turn"] * 2


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


async def test_an_ai_that_hangs_ends_as_a_stored_timeout(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """The answer is a 200 that says so, and the turn is settled."""
    engine = with_time_limit(HangingEngine(), 0.2)
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        answer = await ask(client, "k")
    reply = (await user.load(answer.json()["conversationId"])).json()["messages"][-1]
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert reply == answer.json()["message"]
    assert reply["metadata"]["error"]["type"] == "timeout"
    assert turns_of(db, user) == [("failed", 1, ["user", "assistant"])]


async def test_a_provider_that_fails_ends_as_a_stored_failure(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """So does a rate limit: the row says which, and the next turn is free to go."""
    for error_type in ("provider_error", "rate_limited"):
        engine = FailingEngine(error_type)
        async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
            answer = (await ask(client, error_type)).json()
        assert answer["success"] is False
        assert answer["message"]["metadata"]["error"]["type"] == error_type
    after = await user.send("Again", conversationId=answer["conversationId"])
    assert after.json()["success"] is True
    assert [status for status, *_ in turns_of(db, user)] == ["failed", "failed", "completed"]


@pytest.mark.parametrize(
    "text",
    ["a\x00b", "half \ud83d", "\ude00 the other", "spelled \\u0000 and \x00", "\\\\\x00"],
    ids=ascii,
)
async def test_a_reply_that_postgres_cannot_hold_is_stored_escaped(
    stack: Stack, user: User, text: str
) -> None:
    """It can be turned back, and its metadata says that it has to be."""
    async with bundle(settings_for(stack), token=user.token, engine=ScriptedEngine(text)) as client:
        answer = (await ask(client, "k")).json()
    reply = (await user.load(answer["conversationId"])).json()["messages"][-1]
    assert reply == answer["message"]
    assert reply["metadata"]["escaped"] is True
    assert unescape(reply["content"]) == text


async def test_a_reply_that_only_looks_escaped_is_stored_as_it_is(stack: Stack, user: User) -> None:
    """A backslash, u and four zeros spelled out are just text, and nothing is flagged."""
    text = "write \\u0000 for NUL"
    async with bundle(settings_for(stack), token=user.token, engine=ScriptedEngine(text)) as client:
        answer = (await ask(client, "k")).json()
    assert answer["message"]["content"] == text
    assert "escaped" not in answer["message"]["metadata"]
