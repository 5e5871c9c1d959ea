"""A user who is moved from one real server to another: killed at any step, written to meanwhile."""

import asyncio
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared import moving
from shared.moving import RefusedError, move_user, tables_of
from tests.support import user_gate
from tests.support.invariants import found_broken
from tests.support.postgres import Server
from tests.support.two_stores import (
    HOMES,
    NAMES,
    Bundle,
    Everything,
    bundle_on,
    make_user_at,
    owner_url,
    two_servers,
)
from tests.support.waiting import until

WAITING = """
select pid from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'conversations'
"""
STEPS = ("locked", "copied", "stored", "removed")

pytestmark = pytest.mark.promise("moving", red="the source is committed before the destination")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Two servers with the schema."""
    with two_servers() as running:
        yield running


@pytest.fixture
def user_id(servers: dict[str, Server]) -> UUID:
    """A user of the first with rows in every table."""
    made = make_user_at(servers, "one")
    with psycopg.connect(servers["one"].url(), autocommit=True) as db:
        Everything(db, made).write()
    return made


class KilledError(Exception):
    """The program is gone: both of its connections are."""


def killed_at(step: str) -> Callable[[str], None]:
    """Return what ends the program at a step."""

    def say(now: str) -> None:
        if now == step:
            raise KilledError

    return say


def move(
    servers: dict[str, Server],
    user_id: UUID,
    *,
    say: Callable[[str], None] = lambda _: None,
    overwrite: bool = False,
) -> None:
    """Move a user from the first to the second."""
    with (
        psycopg.connect(owner_url(servers["one"])) as source,
        psycopg.connect(owner_url(servers["two"])) as destination,
    ):
        move_user(user_id, source, destination, say=say, overwrite=overwrite)


def stored(server: Server, user_id: UUID) -> moving.Sums:
    """Return how many rows of each table a user has, and a sum of them."""
    with psycopg.connect(server.url()) as db:
        db.execute(moving.SESSION.encode())
        return moving._sums(db, tables_of(db, "public"), user_id)


def is_empty(sums: moving.Sums) -> bool:
    """Whether there is no row."""
    return not any(count for count, _ in sums.values())


def test_no_table_of_users_is_forgotten(servers: dict[str, Server], user_id: UUID) -> None:
    """What is moved is each table that has a user; and the tests have a row in each."""
    with psycopg.connect(servers["one"].url()) as db:
        ours = {f"{schema}.{name}" for schema, name in db.execute(user_gate.TABLES.encode())}
        assert {str(table) for table in tables_of(db, "public")} == ours
    assert [str(table) for table, (count, _) in stored(servers["one"], user_id).items()
            if count == 0] == []  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_is_killed_goes_on_when_it_is_run_again(
    servers: dict[str, Server], user_id: UUID, step: str
) -> None:
    """At each moment one of the stores has all of it, and in the end the other has nothing."""
    before = stored(servers["one"], user_id)
    with pytest.raises(KilledError):
        move(servers, user_id, say=killed_at(step))
    left = [stored(servers[name], user_id) for name in NAMES]
    assert left[0] == before
    assert left[1] == before or is_empty(left[1])
    for _ in range(2):
        move(servers, user_id)
        assert stored(servers["two"], user_id) == before
        assert is_empty(stored(servers["one"], user_id))
    for server in servers.values():
        with psycopg.connect(server.url(), autocommit=True) as db:
            assert found_broken(db) == []


def test_a_copy_that_is_out_of_date_is_never_taken_for_the_user(
    servers: dict[str, Server], user_id: UUID
) -> None:
    """Which of two that differ is right, somebody has to say."""
    with pytest.raises(KilledError):
        move(servers, user_id, say=killed_at("stored"))
    with psycopg.connect(servers["one"].url(), autocommit=True) as db:
        db.execute("update conversations set title = 'Later' where user_id = %s", (user_id,))
    now = stored(servers["one"], user_id)
    with pytest.raises(RefusedError):
        move(servers, user_id)
    assert stored(servers["one"], user_id) == now
    move(servers, user_id, overwrite=True)
    assert stored(servers["two"], user_id) == now


def test_whoever_has_no_account_at_the_destination_stays(
    servers: dict[str, Server], user_id: UUID
) -> None:
    """A row there would refer to nobody."""
    before = stored(servers["one"], user_id)
    servers["two"].execute(f"delete from auth.users where id = '{user_id}'")
    with pytest.raises(RefusedError):
        move(servers, user_id)
    assert stored(servers["one"], user_id) == before
    assert is_empty(stored(servers["two"], user_id))


def test_a_database_is_never_its_own_destination(
    servers: dict[str, Server], user_id: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whatever two addresses: what is the same there would be taken for a copy."""
    before = stored(servers["one"], user_id)
    url = owner_url(servers["one"])
    same = ["--source", url, "--destination", url.replace("127.0.0.1", "localhost")]
    assert moving.main(["--user", str(user_id), *same]) == moving.REFUSED
    assert "both are one database" in capsys.readouterr().err
    assert stored(servers["one"], user_id) == before


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("stars", "create table stars (message_id uuid references messages (id))"),
        (
            "legacy_chat",
            "create schema legacy_chat authorization postgres create table conversations (id uuid)",
        ),
    ],
)
def test_what_would_stay_behind_keeps_the_user_where_it_is(
    servers: dict[str, Server], user_id: UUID, name: str, make: str
) -> None:
    """A table of somebody's own, which names no user, or old ones that an erasure has to reach."""
    before = stored(servers["one"], user_id)
    servers["one"].execute(make)
    try:
        with pytest.raises(RefusedError, match=name):
            move(servers, user_id)
    finally:
        kind = "table" if name == "stars" else "schema"
        servers["one"].execute(f"drop {kind} {name} cascade")
    assert stored(servers["one"], user_id) == before


def test_a_move_leaves_no_word_and_no_setting_behind(
    servers: dict[str, Server], user_id: UUID
) -> None:
    """Live events have words too; and a pooler gives the connections to others."""
    with (
        psycopg.connect(owner_url(servers["one"])) as source,
        psycopg.connect(owner_url(servers["two"])) as destination,
    ):
        topics = source.execute(
            "select 'conversation:' || id from conversations where user_id = %s", (user_id,)
        ).fetchall()
        move_user(user_id, source, destination)
        for db in (source, destination):
            assert db.execute("show session_replication_role").fetchone() == ("origin",)
        left = source.execute(
            "select topic from realtime.messages where topic = any (%s)", ([*sum(topics, ())],)
        ).fetchall()
    assert topics != []
    assert left == []


def test_the_program_says_what_became_of_it(
    servers: dict[str, Server], user_id: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moved, moved already, refused, or not to be reached."""
    arguments = arguments_for(servers, user_id)
    assert (moving.main(arguments), moving.main(arguments)) == (moving.MOVED, moving.MOVED)
    assert "public.messages                           7" in capsys.readouterr().out
    with psycopg.connect(servers["one"].url(), autocommit=True) as db:
        db.execute("insert into conversations (user_id) values (%s)", (user_id,))
    assert moving.main(arguments) == moving.REFUSED
    assert "they differ" in capsys.readouterr().err
    nowhere = [*arguments[:3], "postgresql://127.0.0.1:1/postgres", *arguments[4:]]
    assert moving.main(nowhere) == moving.UNREACHABLE


async def test_a_program_that_is_killed_holds_nobody_up(
    servers: dict[str, Server], user_id: UUID
) -> None:
    """With -9, while it waits for somebody who writes."""
    with psycopg.connect(servers["one"].url()) as writer:
        writer.execute("select from conversations where user_id = %s for update", (user_id,))
        arguments = arguments_for(servers, user_id)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shared.moving", *arguments
        )
        with psycopg.connect(servers["one"].url(), autocommit=True) as db:
            await until(lambda: db.execute(WAITING).fetchall())
            program.kill()
            await program.wait()
    assert moving.main(arguments) == moving.MOVED
    assert is_empty(stored(servers["one"], user_id))


def arguments_for(servers: dict[str, Server], user_id: UUID) -> list[str]:
    """Return what the program is given to move a user from the first to the second."""
    source, destination = map(owner_url, servers.values())
    return ["--user", str(user_id), "--source", source, "--destination", destination]


async def test_nothing_is_lost_or_doubled_by_a_move_while_turns_are_taken(
    servers: dict[str, Server],
) -> None:
    """Turns are refused while it lasts; those that run are stored at the destination."""
    user_id = make_user_at(servers, "one")
    async with bundle_on(servers) as bundle:
        moved = asyncio.Event()
        talks = [asyncio.create_task(talk(bundle, user_id, moved)) for _ in range(4)]
        await until(lambda: not is_empty(stored(servers["one"], user_id)))
        with pytest.raises(KilledError):  # the function still leads to the source
            await asyncio.to_thread(move, servers, user_id, say=killed_at("locked"))
        HOMES[user_id] = None
        await until(lambda: calls_in_flight(bundle, "one") == 0)
        await asyncio.to_thread(move, servers, user_id)
        HOMES[user_id] = "two"
        moved.set()
        keys = [key for talk in talks for key in await talk]
    with psycopg.connect(servers["two"].url(), autocommit=True) as db:
        rows = db.execute(
            "select t.idempotency_key, count(*) from turns as t"
            " join messages as m on m.user_id = t.user_id and m.turn_id = t.id"
            " where t.user_id = %s group by t.idempotency_key",
            (user_id,),
        ).fetchall()
        assert found_broken(db) == []
    assert is_empty(stored(servers["one"], user_id))
    assert dict(rows) == dict.fromkeys(keys, 2)


def calls_in_flight(bundle: Bundle, name: str) -> int:
    """Return how many calls to a store are under way: what STORE_TIMEOUT is waited for."""
    store: Any = bundle.container.stores[name]._store
    return len(store._places.others._held) + len(store._places.urgent._held)


async def talk(bundle: Bundle, user_id: UUID, moved: asyncio.Event) -> list[str]:
    """Take turns in a conversation until one was taken after the move; return their keys."""
    keys: list[str] = []
    chat = None
    is_last = False
    while not is_last:
        is_last, key = moved.is_set(), uuid.uuid4().hex
        body = {"request": "Hello", "conversationId": chat, "key": key}
        while (turn := await bundle.call(user_id, "/mega-mind", **body)).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert turn.status_code == 200, turn.text
        keys.append(key)
        chat = turn.json()["conversationId"]
    return keys
