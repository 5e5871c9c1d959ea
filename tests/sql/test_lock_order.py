"""Whoever locks several rows takes them in one order, so that no two wait for each other."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.support import idle_chats
from tests.support.sql_calls import make_account

database_url = idle_chats.database_url

AT = {"created_at": "2020-01-01T00:00:00Z", "metadata": "{}"}
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and pid = %s"
TAKE = "select take_import_part(%(user)s, %(file)s, 0, {})"
LOCK_FIRST = "select from conversations where imported ->> 'id' = 'b' for update"
LOCK_SECOND = "select from conversations where imported ->> 'id' = 'a' for update"


def take(*names: str) -> str:
    """Write a call that takes conversations of a file, in its order."""
    pieces = [
        {"place": place, "first": 1, "is_last": True,
         "conversation": {**AT, "title": "T", "updated_at": "2020-01-01T00:00:00Z", "last_seq": 1,
                          "imported": {"source": "chatgpt", "id": name}},
         "messages": [{**AT, "role": "user", "content": "Hello"}]}
        for place, name in enumerate(names)
    ]  # fmt: skip
    return TAKE.format(f"'{json.dumps(pieces)}'")


DELETE = "delete from conversations where user_id = %(user)s"
BEGIN = "select begin_turn(%(user)s, 'key', 'hash', 'Hello', gen_random_uuid(), null)"
REPAIR = (
    "select repair_invariants(%(user)s, jsonb_agg("
    " jsonb_build_object('name', 'seq_gap', 'id', id) order by id desc)) from conversations"
)
ERASED = "insert into private.erasure_receipts (user_id, idempotency_key, requested_by)"
LEFT = "insert into private.import_parts (user_id, import_id, part, taken_at)"


@pytest.mark.promise("Postgres away", red="pieces taken, and bytes counted, in the file's order")
@pytest.mark.parametrize(
    ("before", "first", "other", "second"),
    [
        pytest.param([], take("a"), take("b", "a"), take("b"), id="two files"),
        pytest.param(
            [take("b"), take("a")], LOCK_FIRST, take("a", "b"), LOCK_SECOND, id="a file and a hold"
        ),
        pytest.param(
            [take("b"), take("a")], LOCK_FIRST, REPAIR, LOCK_SECOND, id="a repair and a hold"
        ),
        pytest.param(
            ["select set_limits(10000)", take("a")],
            LOCK_SECOND,
            take("a"),
            "insert into messages (user_id, conversation_id, role, content)"
            " select user_id, id, 'user', 'Hello' from conversations",
            id="a file and a message",
        ),
        pytest.param(
            [f"{ERASED} values (%(user)s, 'key', 'user')",
             f"{LEFT} values (%(user)s, gen_random_uuid(), 0, now() - interval '2 hours')"],
            "select from private.erasure_receipts for update",
            "select continue_removal(%(user)s)",
            "delete from private.import_parts",
            id="a sweep and an erasure",
        ),
        pytest.param(
            [BEGIN],
            "select from auth.users where id = %(user)s for update",
            DELETE,
            "select from conversations for update",
            id="a deletion and that of the account",
        ),
    ],
)  # fmt: skip
def test_no_two_wait_for_each_other(
    database_url: str, before: list[str], first: str, other: str, second: str
) -> None:
    """One locks what the other wants last, and then what it wants first."""
    with (
        psycopg.connect(database_url, autocommit=True) as db,
        psycopg.connect(database_url, autocommit=True) as one,
        psycopg.connect(database_url, autocommit=True) as two,
        ThreadPoolExecutor(1) as pool,
    ):
        user = make_account(db)

        def run(connection: psycopg.Connection, statement: str) -> None:
            values: dict[str, Any] = {"user": user, "file": str(uuid.uuid4())}
            connection.execute(statement.encode(), values)

        for statement in before:
            run(db, statement)
        with one.transaction():
            run(one, "set local deadlock_timeout = '10ms'")
            run(one, first)
            others = pool.submit(run, two, other)
            while not others.done():
                if db.execute(WAITING, (two.info.backend_pid,)).fetchone() == (1,):
                    break
                time.sleep(0.01)
            run(one, second)
        if error := others.exception(timeout=60):
            assert isinstance(error, psycopg.errors.LockNotAvailable)
