"""Postgres, the functions and other writers are killed again and again; nothing is lost or doubled.

Turns are written by mega-mind, over HTTP by a program that may leave them, and by programs with the
library; others add to sessions of two frameworks meanwhile.
FAULT_TURNS says how many turns the loop takes. The functions take another road to the store in each
of their lives, or that of FAULT_ROADS.
"""

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.postgres import kill_server
from local.stack import Stack
from tests.support.fault_history import Call, History, Outcome, check, read_back
from tests.support.invariants import counts_of, found_broken
from tests.support.kill_run import USERS, Run, run_on
from tests.support.killed_writers import (
    SessionAdds,
    by_library,
    over_http,
)
from tests.support.users import User, sign_up
from tests.support.waiting import BOUND, until

TURNS = int(os.environ.get("FAULT_TURNS", "48"))
CLIENTS = 8
EVERY = max(9, TURNS // 60)  # answered calls from one fault to the next
ABANDONED = 9  # every so many calls, one is sent once and never again
WAIT_SECONDS = 0.1
STRANDED = "idempotency_key like 'stranded %'"


async def conversation_for(run: Run, user: User) -> str:
    """Start an empty conversation."""
    answer = await until_taken(run.clients[user.id], "/conversations", json={})
    return str(answer.json()["conversation"]["id"])


async def until_taken(http: httpx.AsyncClient, path: str, **sent: Any) -> httpx.Response:
    """Post as often as it takes for a store that has just come back."""
    async with asyncio.timeout(BOUND):
        while (answer := await http.post(path, **sent)).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(WAIT_SECONDS)
    return answer


async def ask_once(run: Run, call: Call, number: int, *, is_left: bool = False) -> Outcome:
    """Have a call's turn written once, in the way that clients of this number do."""
    match number % 4:
        case 0:
            return await over_http(call, run.service, is_left=is_left)
        case 1:
            return await by_library(call, run.program(number))
        case _:
            return await call.attempt(run.clients[call.user_id])


async def ask_until_answered(run: Run, call: Call, number: int) -> None:
    """Send a call under its key until there is a definite answer."""
    while not call.acknowledged:
        outcome = await ask_once(run, call, number)
        assert outcome.status in {200, 409, 503, None}, outcome
        if outcome.kind != "ok":
            await asyncio.sleep(WAIT_SECONDS)


async def be_a_client(run: Run, number: int, turns: Iterator[int], shared: dict[str, str]) -> None:
    """Take turn after turn: in a new conversation, in one's own, in one that others write to."""
    user = run.users[number % USERS]
    own: str | None = None
    for turn in turns:
        place = (None, own, shared[user.id])[turn % 3]
        text = f"Turn {turn} of client {number}: é🎉"
        call = run.history.call(f"key {turn}", text, user_id=user.id, conversation_id=place)
        if turn % ABANDONED == 0:
            await ask_once(run, call, number, is_left=True)
        else:
            await ask_until_answered(run, call, number)
            own = own or str(call.acknowledged[0].rows[0]["conversation_id"])
        await run.note_answer()


async def be_a_session(run: Run, framework: str) -> None:
    """Add batch after batch to a session, until the turns are over and some are stored."""
    user = await sign_up(run.stack)
    await user.functions.aclose()
    adds = SessionAdds(framework, user.id)
    run.sessions.append(adds)
    program = run.program(-len(run.sessions))
    while run.answered < TURNS or not adds.stored:
        await adds.add(program)
        await asyncio.sleep(WAIT_SECONDS)


async def break_things(run: Run) -> None:
    """Kill one thing after the other, each when so many more calls have been answered."""
    ways: list[Callable[[], Awaitable[None]]]
    ways = [run.kill_functions, run.kill_database, run.kill_both, run.kill_programs]
    for number in range(1, TURNS // EVERY):
        await run.until_answered(number * EVERY)
        await ways[number % len(ways)]()


async def strand_turns(run: Run, db: psycopg.Connection) -> None:
    """Kill the functions while they work on a turn that nobody will ask for again.

    What is seen to run may have ended by the time of the kill: then another one is begun.
    """
    numbers = itertools.count()
    while not running_turns(db, STRANDED):
        await kill_under(run, db, next(numbers))


async def kill_under(run: Run, db: psycopg.Connection, number: int) -> None:
    """Begin a turn, and kill the functions if it is seen to run."""
    name, user = f"stranded {number}", run.users[number % USERS]
    call = run.history.call(name, name, user_id=user.id, conversation_id=None)
    sending = asyncio.create_task(call.attempt(run.clients[user.id]))
    await until(lambda: sending.done() or running_turns(db, STRANDED))
    if not sending.done():
        await run.kill_functions()
    await sending


def running_turns(db: psycopg.Connection, condition: str = "true") -> int:
    """Count the turns that aren't settled."""
    query = f"select count(*) from turns where status = 'running' and {condition}"
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


async def sweep(stack: Stack, url: str) -> None:
    """Call sweep-turns, as a scheduler does."""
    headers = {"apikey": stack.settings.environment()["SUPABASE_SECRET_KEY"]}
    headers["authorization"] = f"Bearer {headers['apikey']}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
        answer = await until_taken(http, "/functions/v1/sweep-turns")
    assert answer.status_code == 200, answer.text


def broken_invariants(db: psycopg.Connection) -> list[str]:
    """Return the names of the doctor's checks that find something."""
    return sorted(counts_of(found_broken(db)))


async def ask_all_again(run: Run) -> None:
    """Send every answered call once more under its key: it has to be a replay."""
    waiting = [call for call in run.history.calls if call.acknowledged]

    async def repeat() -> None:
        while waiting:
            call = waiting.pop(0)
            outcome = await call.attempt(run.clients[call.user_id])
            if outcome.status == 503:  # a store under load: once more, behind the others
                waiting.append(call)
            else:
                assert (outcome.kind, outcome.is_replay) == ("ok", True), outcome

    await asyncio.gather(*(repeat() for _ in range(CLIENTS)))


@pytest.mark.promise("durable")
@pytest.mark.timeout(180 + 3 * TURNS)
async def test_nothing_is_lost_or_doubled_while_both_are_killed_again_and_again(
    broken_stack: Stack, tmp_path: Path
) -> None:
    """Every key ends in one turn with one reply, whatever was killed, and whenever."""
    started = time.monotonic()
    async with run_on(broken_stack, tmp_path) as run:
        shared = {user.id: await conversation_for(run, user) for user in run.users}
        turns = iter(range(1, TURNS + 1))
        clients = [be_a_client(run, number, turns, shared) for number in range(CLIENTS)]
        adding = [be_a_session(run, framework) for framework in ("openai-agents", "pydantic-ai")]
        await asyncio.gather(break_things(run), *clients, *adding)
        with psycopg.connect(broken_stack.settings.db_url, autocommit=True) as db:
            await strand_turns(run, db)
            await until(lambda: not running_turns(db, "lease_expires_at > clock_timestamp()"))
            stranded = running_turns(db)
            await sweep(broken_stack, f"http://127.0.0.1:{run.port}")
            still_running = running_turns(db)
            retries = sum(len(call.outcomes) - 1 for call in run.history.calls)
            await ask_all_again(run)
            broken = broken_invariants(db)
            in_sessions = [problem for adds in run.sessions for problem in adds.problems(db)]
            api_rows, sql_rows = await read_back(run.history, run.clients, db)
    report(run, retries, stranded - still_running, time.monotonic() - started)
    assert check(run.history, api_rows, sql_rows) == []
    assert broken == in_sessions == []
    assert stranded > still_running == 0
    assert run.history.faults["functions"] >= TURNS // EVERY // 3
    assert run.history.faults["database"] >= TURNS // EVERY // 3
    assert deaths_of(run)["before_begin"] > 0  # the first writer's first turn; others die by chance


def deaths_of(run: Run) -> Counter[str]:
    """Count the deaths of programs with the library, by their point."""
    return sum((program.deaths for program in run.programs.values()), Counter())


def report(run: Run, retries: int, swept: int, seconds: float) -> None:
    """Print what happened."""
    ended = Counter(str(o.status or o.kind) for call in run.history.calls for o in call.outcomes)
    print(  # noqa: T201 - for `pytest -s`
        f"\nkill loop: {len(run.history.calls)} turns, kills {dict(run.history.faults)},"
        f" deaths of programs {dict(deaths_of(run))},"
        f" batches {[f'{len(adds.stored)} of {adds.given}' for adds in run.sessions]},"
        f" {retries} retries, attempts by answer {dict(ended)}, {swept} turns swept,"
        f" {seconds:.0f} s"
    )


@pytest.mark.promise("durable", red="`synchronous_commit = off`, as its second case has it")
@pytest.mark.parametrize("commits", ["on", "off"])
async def test_a_crash_loses_nothing_unless_commits_are_not_waited_for(
    broken_stack: Stack, commits: str
) -> None:
    """The check that finds nothing above reports a loss where synchronous_commit is off."""
    user = await sign_up(broken_stack)
    history = History()
    enough, over = asyncio.Event(), asyncio.Event()

    async def send_until_it_is_over(number: int) -> None:
        for turn in range(500):
            name = f"{commits} {number} {turn}"
            call = history.call(name, name, user_id=user.id, conversation_id=None)
            await call.attempt(user.functions)
            if sum(1 for _ in history.acknowledged()) >= 12:
                enough.set()
            if over.is_set():
                return

    with committing(broken_stack, commits):
        senders = [asyncio.create_task(send_until_it_is_over(number)) for number in range(4)]
        await asyncio.wait_for(enough.wait(), timeout=60)
        await asyncio.to_thread(kill_server, broken_stack.settings)
        history.faults["database"] += 1
        over.set()
        await asyncio.to_thread(broken_stack.up)
        await asyncio.gather(*senders)
        with psycopg.connect(broken_stack.settings.db_url, autocommit=True) as db:
            api_rows, sql_rows = await read_back(history, {user.id: user.functions}, db)
    await user.functions.aclose()
    kinds = {violation.kind for violation in check(history, api_rows, sql_rows)}
    assert kinds == (set() if commits == "on" else {"lost"})


@contextmanager
def committing(stack: Stack, value: str) -> Iterator[None]:
    """Set synchronous_commit for a while, with the log's own writer away for ten seconds."""
    alter_system(stack, synchronous_commit=value, wal_writer_delay="10s")
    try:
        yield
    finally:
        alter_system(stack, synchronous_commit="on", wal_writer_delay="200ms")


def alter_system(stack: Stack, **settings: str) -> None:
    """Change settings of the running server, and wait until it has read them."""
    with psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        for name, value in settings.items():
            db.execute(f"alter system set {name} = '{value}'".encode())
        db.execute("select pg_reload_conf()")
    for name, value in settings.items():
        while shown(stack, name) != value:
            time.sleep(0.02)


def shown(stack: Stack, name: str) -> str:
    """Return a setting as a new connection has it."""
    with psycopg.connect(stack.settings.db_url) as db:
        row = db.execute(f"show {name}".encode()).fetchone()
    assert row is not None
    return str(row[0])
