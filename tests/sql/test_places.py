"""A message's place and moment, whoever writes it, and the live events of what is committed."""

import uuid
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from tests.support import partitions, sql_fixtures
from tests.support.sql_calls import (
    Caller,
    as_service,
    assert_whole,
    make_conversation,
    places,
)

stack = partitions.stack  # as it is, and in partitions
service, owner = sql_fixtures.service, sql_fixtures.owner


@pytest.mark.promise("wrong clock")
def test_created_at_grows_although_the_clock_was_ahead(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """After a clock that ran an hour fast, later messages still come later."""
    begun = service.begin(owner)
    conversation = begun["conversation"]["id"]
    db.execute(
        "with ahead as (update conversations set updated_at = now() + interval '1 hour'"
        " where id = %s returning id, updated_at)"
        " update messages set created_at = ahead.updated_at from ahead"
        " where conversation_id = ahead.id",
        (conversation,),
    )
    service.complete(begun)
    service.complete(service.begin(owner, conversation_id=conversation))
    assert assert_whole(db, conversation) == 4


def test_rows_of_one_transaction_and_one_statement_do_not_tie(
    owner: str, db: psycopg.Connection
) -> None:
    """A hundred rows of one insert have a hundred moments."""
    conversation = make_conversation(db, owner, messages=100)
    assert assert_whole(db, conversation) == 100


def test_an_insert_that_is_rolled_back_leaves_no_gap(
    stack: Stack, owner: str, db: psycopg.Connection
) -> None:
    """Neither a whole transaction nor a savepoint uses up a place."""
    conversation = make_conversation(db, owner, messages=1)
    insert = (
        "insert into messages (user_id, conversation_id, role, content)"
        " values (%s, %s, 'system', %s)"
    )
    with as_service(stack.settings.db_url, autocommit=False) as service:
        connection = service.connection
        connection.execute(insert, (owner, conversation, "lost"))
        connection.rollback()
        connection.execute("set role service_role")
        with connection.transaction() as savepoint:
            connection.execute(insert, (owner, conversation, "lost too"))
            raise psycopg.Rollback(savepoint)
        connection.execute(insert, (owner, conversation, "kept"))
        connection.commit()
    assert assert_whole(db, conversation) == 2


@pytest.mark.parametrize(
    "clause", ["on conflict do nothing", "on conflict (user_id, id) do nothing"]
)
def test_a_repeated_insert_that_does_nothing_leaves_no_gap(
    stack: Stack, owner: str, db: psycopg.Connection, clause: str
) -> None:
    """An import that is run twice stores every row once and uses up no place."""
    conversation = make_conversation(db, owner, messages=1)
    ids = [str(uuid.uuid4()) for _ in range(3)]
    insert = (
        "insert into messages (id, user_id, conversation_id, role, content)"
        f" select unnest(%s::uuid[]), %s, %s, 'system', 'imported' {clause}"
    )
    with as_service(stack.settings.db_url) as service:
        for batch in (ids[:2], ids, [ids[2], ids[2]]):
            service.connection.execute(insert.encode(), (batch, owner, conversation))
    assert assert_whole(db, conversation) == 4


def test_a_repeated_insert_without_a_clause_is_refused(
    stack: Stack, owner: str, db: psycopg.Connection
) -> None:
    """The same id twice is still a unique violation on the key."""
    conversation = make_conversation(db, owner, messages=1)
    row = db.execute(
        "select id from messages where conversation_id = %s", (conversation,)
    ).fetchone()
    assert row is not None
    with (
        as_service(stack.settings.db_url) as service,
        pytest.raises(psycopg.errors.UniqueViolation, match=r"messages(_\d+)?_pkey"),
    ):
        service.connection.execute(
            "insert into messages (id, user_id, conversation_id, role, content)"
            " values (%s, %s, %s, 'system', 'again')",
            (row[0], owner, conversation),
        )
    assert assert_whole(db, conversation) == 1


def test_events_are_written_with_their_rows_and_vanish_with_them(
    stack: Stack, owner: str, db: psycopg.Connection
) -> None:
    """Before the commit nobody sees row or event, after a rollback there is neither."""
    conversation = make_conversation(db, owner)
    topic = f"conversation:{conversation}"

    def events() -> list[tuple[Any, ...]]:
        return db.execute(
            "select event, payload ->> 'status', payload ->> 'seq', private"
            " from realtime.messages where topic = %s order by inserted_at, event",
            (topic,),
        ).fetchall()

    for end in ("rollback", "commit"):
        with as_service(stack.settings.db_url, autocommit=False) as service:
            begun = service.begin(owner, conversation_id=conversation)
            service.complete(begun)
            assert events() == []
            getattr(service.connection, end)()
        if end == "rollback":
            assert events() == []
            assert places(db, conversation) == []
    assert sorted(events(), key=str) == sorted(
        [
            ("message", None, "1", True),
            ("message", None, "2", True),
            ("status", "accepted", None, True),
            ("status", "idle", None, True),
        ],
        key=str,
    )


def test_an_event_has_the_row_only_while_it_is_small(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Of a large message it has the place alone, for Realtime has a limit."""
    small = service.begin(owner, "small")
    large = service.begin(owner, "x" * 40_000)
    payloads = [
        db.execute(
            "select payload from realtime.messages where topic = %s and event = 'message'",
            (f"conversation:{begun['conversation']['id']}",),
        ).fetchone()
        for begun in (small, large)
    ]
    assert payloads[0] is not None
    assert payloads[1] is not None
    assert payloads[0][0]["row"]["content"] == "small"
    assert payloads[0][0]["turnId"] == small["turn"]["id"]
    assert "row" not in payloads[1][0]
    assert payloads[1][0]["seq"] == 1
