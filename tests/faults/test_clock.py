"""A function process whose clock is five minutes wrong: leases are the database's to judge."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest
import pytest_asyncio

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.engines import TypingEngine
from tests.support.process import FunctionsProcess, functions_process
from tests.support.tokens import claims_for, signed
from tests.support.users import User
from tests.support.waiting import until

SLOW, FAST = -300, 300
DRAFT = "Half an ans"


@pytest.fixture(scope="module", params=[SLOW, FAST], ids=["slow", "fast"])
def off(request: pytest.FixtureRequest) -> int:
    """By how many seconds the clock is wrong."""
    seconds: int = request.param
    return seconds


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    stack: Stack, off: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FunctionsProcess]:
    """A process with such a clock, which waits for no turn that runs elsewhere."""
    settings = {"CLOCK_OFF": str(off), "RETRY_WAIT_SECONDS": "0.1"}
    async with functions_process(stack, tmp_path_factory.mktemp("clock"), **settings) as running:
        yield running


def lose_turn(db: psycopg.Connection, user: User, *, lease_seconds: int) -> str:
    """Begin a turn as a worker that is gone left it, with so much of its lease to go."""
    row = db.execute(
        "select begin_turn(user_id => %s, idempotency_key => 'lost', request_hash => 'hash',"
        " request => 'Hello', message_id => gen_random_uuid(), lease_seconds => %s)",
        (user.id, lease_seconds),
    ).fetchone()
    assert row is not None
    turn = row[0]["turn"]["id"]
    db.execute("update turns set draft = %s where id = %s", (DRAFT, turn))
    return str(row[0]["conversation"]["id"])


def assert_clock_is_off(server: FunctionsProcess, off: int) -> None:
    """Check that the process really lives in another time, by what it logs."""
    logged = datetime.fromisoformat(server.lines()[-1]["timestamp"])
    assert abs((logged - datetime.now(UTC)).total_seconds() - off) < 60


@pytest.mark.promise("wrong clock", red="a load compares the lease with the process's clock")
async def test_a_wrong_clock_neither_settles_a_live_turn_nor_leaves_a_dead_one(
    server: FunctionsProcess, user: User, other_user: User, db: psycopg.Connection, off: int
) -> None:
    """What a load shows of a running turn, and of one without a worker, is as ever."""
    live = lose_turn(db, user, lease_seconds=120)
    dead = lose_turn(db, other_user, lease_seconds=-1)
    async with (
        server.client(user.token) as one,
        server.client(other_user.token) as another,
    ):
        shown = (await one.get("/load-conversation", params={"conversationId": live})).json()
        settled = (await another.get("/load-conversation", params={"conversationId": dead})).json()
        assert_clock_is_off(server, off)
    assert [message["role"] for message in shown["messages"]] == ["user"]
    assert (shown["openTurn"]["draft"], shown["openTurn"]["isExpired"]) == (DRAFT, False)
    assert settled["openTurn"] is None
    assert [message["content"] for message in settled["messages"]] == ["Hello", DRAFT]


@pytest.mark.promise("wrong clock", red="`iat` is checked")
async def test_a_wrong_clock_neither_takes_over_a_live_turn_nor_waits_for_a_dead_one(
    stack: Stack, server: FunctionsProcess, user: User, db: psycopg.Connection, off: int
) -> None:
    """While another process works, its key has to wait; once that one is gone, it is done."""
    engine = TypingEngine(["One."])
    body, headers = {"request": "Count"}, {"idempotency-key": "k"}
    async with (
        bundle(settings_for(stack), token=user.token, engine=engine) as worker,
        server.client(user.token) as client,
    ):
        working = asyncio.create_task(worker.post("/mega-mind", json=body, headers=headers))
        await until(lambda: engine.runs)
        busy = await client.post("/mega-mind", json=body, headers=headers)
        db.execute("update turns set lease_expires_at = now() where user_id = %s", (user.id,))
        answer = await client.post("/mega-mind", json=body, headers=headers)
        engine.allow(2)
        late = await working
        assert_clock_is_off(server, off)
    assert (busy.status_code, busy.json()["code"]) == (409, "turn_in_progress")
    assert 1 <= int(busy.headers["retry-after"]) <= 2
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert late.json()["message"] == answer.json()["message"]
    turns = db.execute("select status, attempt from turns where user_id = %s", (user.id,))
    assert turns.fetchall() == [("completed", 2)]


@pytest.mark.promise("wrong clock", red="`iat` is checked")
async def test_a_wrong_clock_moves_the_end_of_a_token_and_nothing_else(
    stack: Stack, server: FunctionsProcess, user: User, off: int
) -> None:
    """Who has just signed in is let in; a token ends as the process's own clock says."""
    secret, now = stack.settings.environment()["SUPABASE_JWT_SECRET"], int(time.time())
    lives = {-60: off == SLOW, 60: off == SLOW, 360: True, 3600: True}
    ended = signed(claims_for(user.id, exp=now - 3600), secret)
    statuses = {}
    for left in lives:
        async with server.client(signed(claims_for(user.id, exp=now + left), secret)) as client:
            body = {"request": "Hello"}
            statuses[left] = (await client.post("/mega-mind", json=body)).status_code
    async with server.client(ended) as client:
        refused = await client.post("/mega-mind", json={"request": "Hello"})
    assert_clock_is_off(server, off)
    assert statuses == {left: 200 if is_good else 401 for left, is_good in lives.items()}
    assert refused.status_code == 401
