"""Postgres is stopped, has no room left, or ends connections and waits for locks as it may."""

import asyncio
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from local.processes import as_user
from local.stack import Stack
from tests.faults.conftest import Road
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.fault_turns import (
    COMPLETED,
    LONG_LEASE,
    RUNNING,
    SHORT_LEASE,
    TAKEN_OVER,
    ask,
    turns_of,
    until_answered,
)
from tests.support.gateway import second_gateway
from tests.support.users import User, sign_up
from tests.support.waiting import BOUND, until

WAL_SEGMENT = 16 * 1024 * 1024  # written in full from the start, so it needs no more room
LARGEST = 2_000_000  # bytes of a message
ROWS = 2 * WAL_SEGMENT // LARGEST + 1
LONG = "a" * 200_000  # more than the last page of a table may have left
CUTS = 10
CLIENTS = 4

needs_prlimit = pytest.mark.skipif(
    shutil.which("prlimit") is None,
    reason="taking the room from a running server needs prlimit (Linux)",
)


@pytest.fixture
async def victim(broken_stack: Stack) -> AsyncIterator[User]:
    """A user of the stack that is broken here."""
    signed_up = await sign_up(broken_stack)
    yield signed_up
    await signed_up.functions.aclose()


@pytest.fixture
def broken_db(broken_stack: Stack) -> Iterator[psycopg.Connection]:
    """Its database, as its superuser; gone after a crash."""
    with psycopg.connect(broken_stack.settings.db_url, autocommit=True) as connection:
        yield connection


def server_processes(stack: Stack) -> list[psutil.Process]:
    """Return the postmaster and all of its children."""
    server = stack.db.process()
    assert server is not None
    return [server, *server.children(recursive=True)]


@contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    """Stop Postgres where it stands: connections stay open, and nothing answers."""
    processes = server_processes(stack)
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # nothing may keep the others from going on
                process.resume()


@contextmanager
def without_room(stack: Stack, *, beyond: int) -> Iterator[None]:
    """Let no file of Postgres grow beyond so many bytes, as on a disk that is full."""
    _limit_files(stack, str(beyond))
    try:
        yield
    finally:
        if stack.db.process() is not None:
            _limit_files(stack, "unlimited")


def _limit_files(stack: Stack, size: str) -> None:
    for process in server_processes(stack):
        # As the server's own user: root may lack the right to change another's limits.
        command = ["prlimit", f"--pid={process.pid}", f"--fsize={size}:"]
        subprocess.run(command, check=False, **as_user(stack.db.user))  # it may have ended


def fill_messages(db: psycopg.Connection, user: User) -> None:
    """Make the table of messages larger than any other file, so that it is the one that is full."""
    db.execute("alter table messages alter column content set storage external")
    with db.transaction():
        # Nothing is to read the text: so the index is said to lack it, as a trigger else does.
        db.execute("set local session_replication_role = replica")
        db.execute(
            "with chat as ("
            "  insert into conversations (user_id, last_seq) values (%s, %s) returning id, user_id"
            "), unindexed as ("
            "  insert into search.watermarks (user_id, conversation_id, indexed_seq)"
            "  select user_id, id, 0 from chat"
            ")"
            " insert into messages (conversation_id, user_id, role, content, seq, created_at)"
            " select id, user_id, 'user', repeat('x', %s), n, now() + n * interval '1 second'"
            " from chat, generate_series(1, %s) as n",
            (user.id, ROWS, LARGEST, ROWS),
        )


@pytest.mark.promise("Postgres away", red="a call to the store may take 60 s")
async def test_a_stopped_postgres_is_a_503_in_time_and_one_turn_once_it_goes_on(
    broken_stack: Stack, victim: User, broken_db: psycopg.Connection, by_road: Road
) -> None:
    """SIGSTOP before the message is stored: whatever was on its way, the key has one effect."""
    engine = ScriptedEngine("Done.")
    settings = settings_for(broken_stack, **{**SHORT_LEASE, **by_road(broken_stack)})
    async with bundle(settings, token=victim.token, engine=engine) as client:
        with stopped(broken_stack):
            refused = await asyncio.wait_for(ask(client), BOUND)
            loading = client.get("/conversations")
            unread = await asyncio.wait_for(loading, BOUND)
        answer = await until_answered(client)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert (unread.status_code, unread.json()["code"]) == (503, "store_unavailable")
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert turns_of(broken_db, victim) in (COMPLETED, TAKEN_OVER)
    assert engine.requests == ["Hello"]


@pytest.mark.promise("Postgres away", red="the worker tries to store a reply once")
@needs_prlimit
async def test_a_table_that_can_not_grow_is_a_503_that_heals_by_itself(
    broken_stack: Stack, victim: User, broken_db: psycopg.Connection
) -> None:
    """What finds no room is not stored at all, what does is; with room again, the key is done."""
    engine = ScriptedEngine("Done.")
    settings = settings_for(broken_stack, **LONG_LEASE)
    fill_messages(broken_db, victim)
    async with bundle(settings, token=victim.token, engine=engine) as client:
        with without_room(broken_stack, beyond=WAL_SEGMENT):
            refused = await asyncio.wait_for(ask(client, "long", LONG), BOUND)
            short = await until_answered(client, "short")
            stored = turns_of(broken_db, victim, "long")
            engine.message = LONG
            unstored = await asyncio.wait_for(ask(client, "reply"), BOUND)
            half_stored = turns_of(broken_db, victim, "reply")
        answers = [
            await until_answered(client, "long", LONG),
            await until_answered(client, "reply"),
        ]
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert (short.status_code, stored) == (200, [])
    assert (unstored.status_code, unstored.json()["code"]) == (503, "reply_not_stored")
    assert (unstored.json()["reply"]["content"], half_stored) == (LONG, RUNNING)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["message"]["content"] for answer in answers] == [LONG, LONG]
    assert turns_of(broken_db, victim) == COMPLETED * 3
    assert sorted(engine.requests) == sorted(["Hello", "Hello", LONG])


@pytest.mark.promise("Postgres away", red="`synchronous_commit = off`")
@needs_prlimit
async def test_a_log_that_can_not_be_written_loses_nothing_acknowledged(
    broken_stack: Stack, victim: User, by_road: Road
) -> None:
    """Postgres ends at once and is a 503; started where there is room, it has every answer."""
    engine = ScriptedEngine("Done.")
    settings = settings_for(broken_stack, **{**LONG_LEASE, **by_road(broken_stack)})
    async with bundle(settings, token=victim.token, engine=engine) as client:
        before = [await until_answered(client, f"before {n}") for n in range(3)]
        with without_room(broken_stack, beyond=1):
            refused = await asyncio.wait_for(ask(client), BOUND)
            await until(lambda: broken_stack.db.process() is None)
            down = await asyncio.wait_for(ask(client), BOUND)
        await asyncio.to_thread(broken_stack.up)
        answer = await until_answered(client)
        again = [await until_answered(client, f"before {n}") for n in range(3)]
    with psycopg.connect(broken_stack.settings.db_url) as db:
        turns = turns_of(db, victim)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert (down.status_code, down.json()["code"]) == (503, "store_unavailable")
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert [a.json() for a in again] == [{**b.json(), "replayed": True} for b in before]
    assert turns == COMPLETED * 4


@asynccontextmanager
async def road_of_its_own(
    stack: Stack, folder: Path, name: str, *, is_direct: bool, **parameters: str
) -> AsyncIterator[dict[str, Any]]:
    """Give the settings of a road whose connections have this name: a Data API, or none."""
    query = httpx.QueryParams({"application_name": name, **parameters})
    url = f"{stack.settings.db_url}?{query}"
    if is_direct:
        options = "".join(f" -c {key}={value}" for key, value in parameters.items())
        query = httpx.QueryParams({"application_name": name, "options": options})
        yield {"supabase_db_url": f"{stack.settings.db_url}?{query}".replace("+", "%20")}
        return
    async with second_gateway(stack, folder, LOCAL_DB_URL=url) as port:
        yield {"supabase_url": f"http://127.0.0.1:{port}"}


@pytest.mark.promise("Postgres away", red="`begin_turn` does not look its key up")
async def test_connections_that_are_ended_again_and_again_lose_and_double_nothing(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path, by_road: Road
) -> None:
    """pg_terminate_backend in the middle of calls: good answers or 503s, and one turn a key."""
    name, engine, over = uuid.uuid4().hex, ScriptedEngine("Done."), asyncio.Event()
    keys, answered = ["first"], asyncio.Semaphore(0)

    async def take_turns(client: httpx.AsyncClient) -> None:
        place: dict[str, str] = {}
        while not over.is_set():
            keys.append(f"key {len(keys)}")
            answer = await until_answered(client, keys[-1], **place)
            assert answer.status_code == 200, answer.text
            place = {"conversationId": answer.json()["conversationId"]}
            answered.release()

    async with road_of_its_own(stack, tmp_path, name, is_direct=bool(by_road(stack))) as road:
        settings = settings_for(stack, **{**SHORT_LEASE, **road})
        async with bundle(settings, token=user.token, engine=engine) as client:
            await until_answered(client, "first")
            takers = [asyncio.create_task(take_turns(client)) for _ in range(CLIENTS)]
            for _ in range(CUTS):
                await until(lambda: end_busy_connections(db, name))
                await asyncio.wait_for(answered.acquire(), timeout=30)
            over.set()
            await asyncio.gather(*takers)
    turns = turns_of(db, user)
    assert len(turns) == len(keys) == len(set(keys))
    assert {(status, *roles) for status, _, roles in turns} == {("completed", "user", "assistant")}
    assert broken_places(db, user) == []


def end_busy_connections(db: psycopg.Connection, name: str) -> int:
    """End the connections of this name that are at work; return how many."""
    return len(
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = %s and state = 'active'",
            (name,),
        ).fetchall()
    )


def broken_places(db: psycopg.Connection, user: User) -> list[Any]:
    """Return the user's conversations whose messages aren't 1, 2, 3 … last_seq."""
    return db.execute(
        "select c.id from conversations as c left join messages as m on m.conversation_id = c.id"
        " where c.user_id = %s group by c.id"
        " having array_agg(m.seq order by m.seq) is distinct from"
        " array(select generate_series(1, c.last_seq))",
        (user.id,),
    ).fetchall()


@contextmanager
def locked(stack: Stack, conversation_id: str) -> Iterator[psycopg.Connection]:
    """Hold a conversation's lock from another session."""
    with psycopg.connect(stack.settings.db_url) as session:
        session.execute("set deadlock_timeout = '1min'")
        session.execute("select from conversations where id = %s for update", (conversation_id,))
        yield session
        session.rollback()


@pytest.mark.promise("Postgres away", red="a call to the store may take 60 s")
async def test_a_conversation_that_is_locked_for_long_is_a_503_in_time(
    stack: Stack, user: User, db: psycopg.Connection, by_road: Road
) -> None:
    """A turn of it never hangs, reading it goes on, and without the lock the key is one turn."""
    engine = ScriptedEngine("Done.")
    settings = settings_for(stack, **{**SHORT_LEASE, **by_road(stack)})
    async with bundle(settings, token=user.token, engine=engine) as client:
        place = {"conversationId": (await until_answered(client, "first")).json()["conversationId"]}
        with locked(stack, place["conversationId"]):
            refused = await asyncio.wait_for(ask(client, "k", **place), BOUND)
            loaded = await client.get("/load-conversation", params=place)
            elsewhere = await until_answered(client, "elsewhere")
            stored = turns_of(db, user, "k")
        answer = await until_answered(client, "k", **place)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert len(loaded.json()["messages"]) == 2
    assert (elsewhere.status_code, stored) == (200, [])
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert turns_of(db, user, "k") in (COMPLETED, TAKEN_OVER)
    assert len(engine.requests) == 3


@pytest.mark.promise("Postgres away", red="`ATTEMPTS = 1`")
async def test_a_turn_that_loses_a_deadlock_is_begun_again_unnoticed(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path, by_road: Road
) -> None:
    """Postgres ends the turn's transaction, the store is asked once more, the caller gets a 200.

    It looks for a deadlock once: when there is one, before the two seconds of the lock are over.
    """
    name = uuid.uuid4().hex
    settings = settings_for(stack)
    async with bundle(settings, token=user.token, engine=ScriptedEngine()) as client:
        place = {"conversationId": (await ask(client, "first")).json()["conversationId"]}
    before = deadlocks(db)
    async with road_of_its_own(
        stack, tmp_path, name, is_direct=bool(by_road(stack)), deadlock_timeout="1800ms"
    ) as road:
        settings = settings_for(stack, **road)
        async with bundle(settings, token=user.token, engine=ScriptedEngine()) as client:
            with psycopg.connect(stack.settings.db_url) as session:
                session.execute("set local deadlock_timeout = '60s'")
                session.execute("set local session_replication_role = replica")
                session.execute(
                    "insert into turns (user_id, conversation_id, idempotency_key, request_hash,"
                    " lease_expires_at) values (%s, %s, 'k', 'another', now())",
                    (user.id, place["conversationId"]),
                )
                asking = asyncio.create_task(ask(client, "k", **place))
                await until(lambda: is_waiting(db, name))
                await asyncio.to_thread(
                    session.execute,
                    "select from conversations where id = %s for update",
                    (place["conversationId"],),
                )
                session.rollback()
            answer = await asking
    await until(lambda: deadlocks(db) > before)
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert turns_of(db, user, "k") == COMPLETED
    assert broken_places(db, user) == []


def deadlocks(db: psycopg.Connection) -> int:
    """Return how many deadlocks Postgres has ended in this database."""
    row = db.execute(
        "select deadlocks from pg_stat_database where datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def is_waiting(db: psycopg.Connection, name: str) -> bool:
    """Say whether a connection of this name waits for a lock."""
    waiting = (
        "select from pg_stat_activity where application_name = %s and wait_event_type = 'Lock'"
    )
    return db.execute(waiting, (name,)).fetchone() is not None
