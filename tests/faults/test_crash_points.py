"""The function process is killed at each named point of a turn, and the key is sent again."""

import asyncio
import signal
from pathlib import Path

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.process import functions_process
from tests.support.sse import read_events
from tests.support.users import User
from tests.support.waiting import until

# A lease of two seconds, and no shorter a deadline of the store's than that allows.
QUICK = {
    "HEARTBEAT_SECONDS": "0.05",
    "STORE_TIMEOUT": "1.8",
    "LEASE_SECONDS": "2",
    "RETRY_WAIT_SECONDS": "30",
}
# Slow enough for a heartbeat to fall into the AI's work.
POINTS = ["before_begin", "after_begin", "mid_model", "mid_stream", "after_model", "after_complete"]
SAID = "Write a Python function that adds two numbers"

Ending = list[tuple[str, str, str, int]]


def ending_of(db: psycopg.Connection, user: User) -> Ending:
    """Every message of a user, and how its turn ended."""
    return db.execute(
        "select m.role, m.content, t.status, m.seq from messages m"
        " join turns t on t.id = m.turn_id where m.user_id = %s order by m.seq",
        (user.id,),
    ).fetchall()


@pytest.mark.promise("safe retry")
@pytest.mark.parametrize("point", POINTS)
async def test_a_retry_ends_where_the_undisturbed_run_ends(
    stack: Stack, user: User, other_user: User, db: psycopg.Connection, tmp_path: Path, point: str
) -> None:
    """Killed with -9 at this point, one key still becomes one message and one reply."""
    body, headers = {"request": SAID}, {"idempotency-key": "crash"}
    slow = {"OFFLINE_DELAY": "0.02"} if point == "mid_model" else {}
    async with functions_process(stack, tmp_path, **QUICK, **slow, CRASH_POINT=point) as doomed:
        async with doomed.client(user.token) as client:
            with pytest.raises(httpx.TransportError):
                await client.post("/mega-mind", json=body, headers=headers)
        code = await asyncio.wait_for(doomed.process.wait(), timeout=20)
    answer = await user.send(SAID, key="crash")
    await other_user.send(SAID)
    assert code == -signal.SIGKILL
    assert answer.status_code == 200
    assert ending_of(db, user) == ending_of(db, other_user)


@pytest.mark.promise("shutdown")
async def test_a_process_that_is_asked_to_stop_lets_its_turns_end(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """SIGTERM during a turn: its answer still comes, and its reply is stored."""
    async with (
        functions_process(stack, tmp_path, OFFLINE_DELAY="0.02") as server,
        server.client(user.token) as client,
    ):
        sending = asyncio.create_task(client.post("/mega-mind", json={"request": "Hello there"}))
        query = "select 1 from turns where user_id = %s and status = 'running'"
        await until(lambda: db.execute(query, (user.id,)).fetchone())
        server.process.terminate()
        answer = await sending
        await asyncio.wait_for(server.process.wait(), timeout=40)
    assert answer.status_code == 200
    assert [status for _, _, status, _ in ending_of(db, user)] == ["completed", "completed"]


@pytest.mark.promise("shutdown", red="`aclose` without `drain`")
@pytest.mark.parametrize("drain", ["25", "0.1"], ids=["in time", "too late"])
async def test_a_turn_whose_client_has_gone_outlives_a_process_that_is_asked_to_stop(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path, drain: str
) -> None:
    """SIGTERM with nobody connected: the reply is stored whole, or left to be taken over."""
    body = {"request": "Hello there"}
    headers = {"accept": "text/event-stream", "idempotency-key": "left"}
    async with (
        functions_process(
            stack, tmp_path, **QUICK, OFFLINE_DELAY="0.05", DRAIN_SECONDS=drain
        ) as server,
        server.client(user.token) as client,
    ):
        async with client.stream("POST", "/mega-mind", json=body, headers=headers) as answer:
            async for event in read_events(answer):
                if event.name == "delta":
                    break
        running = ending_of(db, user)
        server.process.terminate()
        code = await asyncio.wait_for(server.process.wait(), timeout=40)
        left = ending_of(db, user)
    again = await user.send("Hello there", key="left")
    whole = await user.send("Hello there")
    assert code in {0, -signal.SIGTERM}
    assert [status for *_, status, _ in running] == ["running"]
    assert [status for *_, status, _ in left] == (
        ["completed"] * 2 if drain == "25" else ["running"]
    )
    assert (again.status_code, again.json()["replayed"]) == (200, drain == "25")
    assert again.json()["message"]["content"] == whole.json()["message"]["content"]
    assert [status for *_, status, _ in ending_of(db, user)] == ["completed"] * 4
