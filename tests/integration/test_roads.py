"""The road to Postgres itself, directly and through a pooler: whose rights, what is left behind."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from local.stack import Stack
from shared.auth.caller import Caller
from shared.errors import (
    ForbiddenError,
    SchemaBehindError,
    StoreUnavailableError,
    UnauthorizedError,
)
from shared.persistence.postgres import Postgres
from shared.persistence.rpc import Store
from shared.shares import StorePlaces
from tests.support.pgbouncer import server_processes
from tests.support.roads import DIRECT, IN_SESSIONS, POOLED, url_of
from tests.support.sql_calls import make_conversation
from tests.support.users import User
from tests.support.waiting import until

PROBES = """
create schema {schema};
grant usage on schema {schema} to authenticated, service_role;
create function {schema}.look() returns jsonb language sql stable security invoker as $$
    select jsonb_build_object(
        'role', current_user,
        'user', auth.uid(),
        'email', auth.jwt() ->> 'email',
        'messages', (select count(*) from public.messages)
    );
$$;
create function {schema}.sleep(seconds float) returns jsonb language sql security invoker as $$
    select jsonb_build_object('slept', pg_sleep(sleep.seconds) is not null);
$$;
"""
LEFT_BEHIND = """
select current_user::text, current_setting('request.jwt.claims', true),
    current_setting('statement_timeout')
"""
SLEEPING = "select count(*) from pg_stat_activity where query like %s and state = 'active'"
SERVICE = Caller(None, None)

pytestmark = pytest.mark.parametrize("road", [DIRECT, POOLED, IN_SESSIONS])


@contextmanager
def probes(stack: Stack) -> Iterator[str]:
    """Put functions that look around into a schema of their own."""
    schema = f"probes_{uuid.uuid4().hex}"
    with psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        db.execute(PROBES.format(schema=schema).encode())
        try:
            yield schema
        finally:
            db.execute(f"drop schema {schema} cascade".encode())


@asynccontextmanager
async def store_of(url: str, schema: str, *, seconds: float = 8) -> AsyncIterator[Store]:
    """Call functions of a schema, with one connection for each kind of call."""
    way = Postgres(url, schema=schema, timeout=seconds)
    yield Store(way, timeout=seconds, places=StorePlaces(3))
    await way.aclose()


def caller_of(user: User) -> Caller:
    """Return a user as the authenticator does."""
    return Caller(UUID(user.id), user.token)


@pytest.mark.promise("isolation", red="calls as a user made as service_role")
async def test_a_user_reads_under_row_level_security_and_leaves_nothing_behind(
    stack: Stack, user: User, other_user: User, db: psycopg.Connection, road: str
) -> None:
    """Each sees own rows alone, by own claims; the next call on the connection has others."""
    make_conversation(db, user.id, messages=3)
    make_conversation(db, other_user.id, messages=5)
    with url_of(road, stack) as url, probes(stack) as schema:
        async with store_of(url, schema) as store:
            seen = [
                await store.call("look", {}, caller=who)
                for who in (caller_of(user), caller_of(other_user), SERVICE, caller_of(user))
            ]
            left = left_behind(url)
    theirs = {"role": "authenticated", "user": user.id, "email": user.email, "messages": 3}
    others = {**theirs, "user": other_user.id, "email": other_user.email, "messages": 5}
    assert [seen[0], seen[1], seen[3]] == [theirs, others, theirs]
    assert (seen[2]["role"], seen[2]["user"]) == ("service_role", None)
    assert seen[2]["messages"] >= 8
    assert left == ("message_persistence", "", "0")


def left_behind(url: str) -> tuple[Any, ...]:
    """Return what a connection has between two calls: the pooler's, or a new one."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        row = connection.execute(LEFT_BEHIND).fetchone()
    assert row is not None
    return (row[0], row[1] or "", row[2])


async def test_a_connection_of_its_own_has_nothing_left_between_two_calls(
    stack: Stack, user: User, road: str
) -> None:
    """Nor after a call that failed."""
    with url_of(road, stack) as url, probes(stack) as schema:
        way = Postgres(url, schema=schema, timeout=8)
        await way.call("look", {}, caller=caller_of(user))
        with pytest.raises(SchemaBehindError):
            await way.call("missing", {}, caller=caller_of(user))
        ((connection, _),) = way._connections._idle
        row = await (await connection.execute(LEFT_BEHIND)).fetchone()
        await way.aclose()
    assert row == ("message_persistence", "", "0")


async def test_the_login_role_itself_may_nothing(stack: Stack, road: str) -> None:
    """It reads no table, calls no function, and can't become anon or postgres."""
    with url_of(road, stack) as url, psycopg.connect(url, autocommit=True) as connection:
        for refused in (
            "select * from public.messages",
            "select public.ping()",
            "set role anon",
            "set role postgres",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused.encode(), prepare=False)


async def test_rights_are_those_of_the_role(stack: Stack, user: User, road: str) -> None:
    """What is the service's is refused to a user; a token that is none is nobody's."""
    with url_of(road, stack) as url:
        async with store_of(url, "public") as store:
            assert "version" in await store.call("ping", {}, caller=None)
            with pytest.raises(ForbiddenError):
                await store.call("ping", {}, caller=caller_of(user))
            for token in (None, "", "nonsense"):
                with pytest.raises(UnauthorizedError):
                    await store.call("ping", {}, caller=Caller(UUID(user.id), token))


@pytest.mark.promise("deadlines", red="a cancelled call goes on at the server")
@pytest.mark.parametrize("way", ["deadline", "caller"])
async def test_a_call_that_is_given_up_ends_at_the_server_too(
    stack: Stack, db: psycopg.Connection, road: str, way: str
) -> None:
    """By its deadline or by its caller: before its place is free, and the next call is whole."""
    with url_of(road, stack) as url, probes(stack) as schema:
        async with store_of(url, schema, seconds=0.7 if way == "deadline" else 200) as store:
            calling = asyncio.create_task(store.call("sleep", {"seconds": 150}, caller=None))
            await until(lambda: count(db, SLEEPING, f"%{schema}%sleep%") == 1)
            if way == "caller":
                calling.cancel()
            with pytest.raises((StoreUnavailableError, asyncio.CancelledError)):
                await calling
            await until(lambda: count(db, SLEEPING, f"%{schema}%sleep%") == 0)
            assert (await store.call("look", {}, caller=None))["role"] == "service_role"


def count(db: psycopg.Connection, query: str, *values: str) -> int:
    """Return the one number that a query gives."""
    row = db.execute(query.encode(), values).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.promise("Postgres away", red="idle connections are used as they are")
async def test_connections_that_were_ended_are_replaced_at_the_first_call(
    stack: Stack, db: psycopg.Connection, road: str
) -> None:
    """Without a failure that anybody sees, as after a restart of Postgres."""
    with url_of(road, stack) as url:
        async with store_of(url, "public") as store:
            await store.call("ping", {}, caller=None)
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where usename = 'message_persistence'"
            )
            await until(lambda: server_processes(db) == 0)
            assert "version" in await store.call("ping", {}, caller=None)


@pytest.mark.promise("limits")
async def test_a_process_keeps_to_its_connections(
    stack: Stack, db: psycopg.Connection, road: str
) -> None:
    """However many calls wait; heartbeats have places of their own."""
    most = 0
    with url_of(road, stack) as url, probes(stack) as schema:
        way = Postgres(url, schema=schema, timeout=20)
        store = Store(way, timeout=20, places=StorePlaces(5))
        calls = [
            asyncio.create_task(
                store.call("sleep", {"seconds": 0.05}, caller=None, is_urgent=number % 2 == 0)
            )
            for number in range(40)
        ]
        while not all(call.done() for call in calls):
            most = max(most, server_processes(db))
            await asyncio.sleep(0.01)
        answers = await asyncio.gather(*calls)
        await way.aclose()
    assert Counter(answer["slept"] for answer in answers) == {True: 40}
    assert 2 <= most <= 5
