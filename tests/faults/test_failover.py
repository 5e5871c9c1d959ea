"""A primary is lost and its standby promoted: what "stored" stands on, on two real servers.

One Postgres that keeps its disk keeps every acknowledged turn. Its standby has them all only where
a commit waits for it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pytest

from local import database
from shared.errors import StoreUnavailableError
from shared.persistence.postgres import Postgres
from tests.support.postgres import Server, running_server
from tests.support.sql_calls import Caller, make_account
from tests.support.standby import lagging, standby_of

DATABASE = "migrated"
TURNS = 12
PATIENCE = 30  # seconds for a server to do what it is asked; more than it ever takes
BLOCKED_FOR = 1.5  # seconds for which a commit is watched that must not return


@pytest.fixture
def primary() -> Iterator[Server]:
    """A server with the schema on it."""
    with running_server() as server:
        server.execute(f"create database {DATABASE}")
        database.shape(server.url(DATABASE))
        database.migrate(server.url(DATABASE))
        yield server


@pytest.mark.promise("durable", red="`synchronous_standby_names` left empty")
def test_with_a_synchronous_standby_a_failover_loses_nothing(primary: Server) -> None:
    """The primary is killed between two turns; each that was acknowledged is on the standby."""
    with standby_of(primary) as standby:
        wait_for_standby(primary)
        acknowledged = take_turns(primary)
        primary.kill()
        promote(standby)
        assert stored(standby, acknowledged) == acknowledged


@pytest.mark.promise("durable")
def test_without_one_a_failover_loses_what_the_standby_had_not_received(primary: Server) -> None:
    """It lags: turns are acknowledged all the same, and gone once it is promoted."""
    with standby_of(primary) as standby:
        before = take_turns(primary)
        until(lambda: len(stored(standby, before)) == len(before))
        with lagging(primary):
            behind = take_turns(primary)
            primary.kill()
        promote(standby)
        assert stored(standby, before) == before
        assert stored(standby, behind) == set()


def test_a_turn_waits_for_a_synchronous_standby_that_lags(primary: Server) -> None:
    """Nothing is acknowledged before the standby has it."""
    with standby_of(primary) as standby, ThreadPoolExecutor(1) as pool:
        wait_for_standby(primary)
        take_turns(primary, 1)
        with lagging(primary):
            waiting = pool.submit(take_turns, primary, 1)
            time.sleep(BLOCKED_FOR)
            assert not waiting.done()
        assert stored(standby, waiting.result(PATIENCE)) == waiting.result()


async def test_a_process_finds_the_new_primary(primary: Server) -> None:
    """Straight to Postgres, with both hosts in the URL: the first call after it is answered."""
    with standby_of(primary) as standby:
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://admin@{hosts}/{DATABASE}?target_session_attrs=read-write"
        way = Postgres(url, schema="public", timeout=8)
        before = await way.call("ping", {}, caller=None)
        primary.kill()
        with pytest.raises(StoreUnavailableError):
            await way.call("ping", {}, caller=None)
        promote(standby)
        after = await way.call("ping", {}, caller=None)
        await way.aclose()
    assert after["version"] == before["version"]


async def test_connections_without_an_answer_cost_one_call(primary: Server) -> None:
    """As after a network that lost them all: the first to wait in vain lets go of the others."""
    way = Postgres(primary.url(DATABASE), schema="public", timeout=60)
    await asyncio.gather(*(way.call("ping", {}, caller=None) for _ in range(4)))
    query = "select pid from pg_stat_activity where application_name = 'message-persistence'"
    with psycopg.connect(primary.url()) as db:
        servers = [psutil.Process(pid) for (pid,) in db.execute(query)]
    for server in servers:
        server.suspend()
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(way.call("ping", {}, caller=None), 0.2)
        assert "version" in await asyncio.wait_for(way.call("ping", {}, caller=None), PATIENCE)
    finally:
        for server in servers:
            server.resume()
        await way.aclose()
    assert len(servers) == 4


def wait_for_standby(primary: Server) -> None:
    """Let each commit from now on wait until a standby has it."""
    primary.execute("alter system set synchronous_standby_names = '*'")
    primary.execute("select pg_reload_conf()")
    synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'"
    until(lambda: value_of(primary, synchronous) == 1)


def take_turns(server: Server, turns: int = TURNS) -> set[str]:
    """Take turns, as the bundle does; return the ids of the replies that were acknowledged."""
    acknowledged = set()
    with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        caller = Caller(connection)
        user_id = make_account(connection)
        for number in range(turns):
            begun = caller.begin(user_id, f"Request {number}")
            done = caller.complete(begun, content=f"Reply {number}")
            acknowledged.add(str(done["reply"]["id"]))
    return acknowledged


def stored(server: Server, ids: set[str]) -> set[str]:
    """Return which of these messages are there."""
    with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        rows = connection.execute(
            "select id::text from messages where id = any(%s::uuid[])", (list(ids),)
        )
        return {row[0] for row in rows}


def promote(standby: Server) -> None:
    """Make the standby the primary: it takes writes from now on."""
    standby.execute("select pg_promote(true, 30)")
    assert value_of(standby, "select pg_is_in_recovery()::int") == 0


def value_of(server: Server, query: str) -> int:
    """Return the one number that a query answers."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a server does in its own time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the server took too long"
        time.sleep(0.05)
