"""The database's clock is set back: moments that were written before are then yet to come."""

from typing import Any

import psycopg
import pytest

from tests.support.hidden_chats import Hidden
from tests.support.sql_calls import Caller, expire, make_conversation

pytest_plugins = ["tests.support.hidden_chats", "tests.support.idle_chats"]

SET_BACK = pytest.mark.parametrize("by", ["1 minute", "3 hours"])


def set_back(db: psycopg.Connection, by: str) -> None:
    """Move every stored moment so far into the future as the clock would go back."""
    db.execute("reset role")  # who may see every column
    columns = db.execute(
        "select table_schema, table_name, column_name from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_schema in ('public', 'private', 'search') and table_type = 'BASE TABLE'"
        " and data_type = 'timestamp with time zone' and is_generated = 'NEVER'"
    ).fetchall()
    for schema, table, column in columns:
        db.execute(f"update {schema}.{table} set {column} = {column} + interval '{by}'".encode())


@SET_BACK
def test_a_deletion_that_was_begun_is_ended_all_the_same(hidden: Hidden, by: str) -> None:
    """The sweep finds it, and nobody is answered that nothing is left while something is."""
    set_back(hidden.db, by)
    listed = Caller(hidden.db).call("list_removals")["users"]
    answer = hidden.as_service("continue_removal", user_id=hidden.owner)
    hidden.db.execute("reset role")
    left = hidden.db.execute("select count(*) from messages").fetchone()
    assert (listed, answer, left) == ([hidden.owner], {"more": False}, (0,))


@SET_BACK
@pytest.mark.parametrize("limit", ["turns_per_minute", "turns_per_day", "tokens_per_day"])
def test_nobody_waits_longer_than_a_limit_looks_back(
    scratch: psycopg.Connection, owner: str, limit: str, by: str
) -> None:
    """What began in a future that the clock has left no longer counts."""
    service = Caller(scratch)
    limits: Any = {"turns_per_minute": None, "turns_per_day": None, "tokens_per_day": None}
    limits[limit] = 1
    service.complete(service.begin(owner, **limits), tokens=5)
    with pytest.raises(psycopg.Error) as refused, scratch.transaction():
        service.begin(owner, idempotency_key="another", **limits)
    set_back(scratch, by)
    assert refused.value.sqlstate == "PT429"
    assert service.begin(owner, idempotency_key="another", **limits)["outcome"] == "started"


@SET_BACK
def test_bytes_that_were_written_do_not_grow(
    scratch: psycopg.Connection, owner: str, by: str
) -> None:
    """A bucket that leaks by the day is not filled by the hours that come again."""
    service = Caller(scratch)
    service.call("set_limits", bytes_per_day=10_000)
    scratch.execute("set role service_role")
    service.begin(owner, request="x" * 5_000)
    set_back(scratch, by)
    before = scratch.execute("select bytes from private.bytes_written").fetchone()
    service.begin(owner, idempotency_key="another", request="x" * 100)
    after = scratch.execute("select bytes from private.bytes_written").fetchone()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] < 150


@SET_BACK
@pytest.mark.parametrize("end", ["completed", "interrupted"])
def test_no_turn_ends_before_it_began(
    scratch: psycopg.Connection, owner: str, end: str, by: str
) -> None:
    """Nor has its reply a place before its message, or a duration below nothing."""
    service = Caller(scratch)
    begun = service.begin(owner)
    set_back(scratch, by)
    if end == "completed":
        service.complete(begun)
    else:
        expire(scratch, begun)
        conversation = begun["conversation"]["id"]
        service.call("settle_expired_turn", user_id=owner, conversation_id=conversation)
    row = scratch.execute(
        "select t.status, t.finished_at >= t.started_at, r.created_at > m.created_at,"
        " coalesce((r.metadata ->> 'duration')::numeric, 0) >= 0"
        " from turns as t join messages as m on m.turn_id = t.id and m.role = 'user'"
        " join messages as r on r.turn_id = t.id and r.role = 'assistant'"
    ).fetchone()
    assert row == (end, True, True, True)


@SET_BACK
def test_events_that_were_sent_since_are_emptied_with_their_conversation(
    scratch: psycopg.Connection, owner: str, by: str
) -> None:
    """They are older than the conversation, by what was written of both."""
    conversation = make_conversation(scratch, owner)
    set_back(scratch, by)
    Caller(scratch).begin(owner, conversation_id=conversation, request="A secret.")
    scratch.execute("delete from conversations where id = %s", (conversation,))
    left = scratch.execute("select count(*) from realtime.messages where payload <> '{}'")
    assert left.fetchone() == (0,)
