"""What a turn costs the database, in things that can be counted on a machine of any speed."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.support.plans import watched_plans
from tests.support.postgres import Server
from tests.support.scratch import MIGRATED
from tests.support.sql_calls import Caller, make_account, make_long_conversation

TURNS = 20
HISTORY = 1000  # tokens
OURS = "schemaname in ('public', 'private', 'search')"


@pytest.fixture(scope="module")
def db(bare_server: Server) -> Iterator[psycopg.Connection]:
    """A database of its own, whose counts nothing else moves."""
    with (
        bare_server.database(MIGRATED) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield connection


@pytest.fixture
def owner(db: psycopg.Connection) -> str:
    """A user's id."""
    return make_account(db)


def take_turns(db: psycopg.Connection, owner: str, conversation: str, *, turns: int) -> None:
    """Take turns as the backend's role."""
    db.execute("set role service_role")
    caller = Caller(db)
    for _ in range(turns):
        begun = caller.begin(owner, conversation_id=conversation, history_tokens=HISTORY)
        caller.complete(begun)
    db.execute("reset role")


def test_a_turn_is_a_bounded_number_of_statements(db: psycopg.Connection, owner: str) -> None:
    """Those of its functions and foreign keys, however long the history is."""
    counts = []
    for messages in (50, 3000):
        conversation = make_long_conversation(db, owner, messages=messages)
        take_turns(db, owner, conversation, turns=1)
        with watched_plans(db) as plans:
            take_turns(db, owner, conversation, turns=1)
        counts.append(len([plan for plan in plans if "realtime" not in plan]))
    assert counts[0] <= 25
    assert counts[1] == counts[0]


def test_a_turn_writes_few_index_entries_and_little_of_the_log(
    db: psycopg.Connection, owner: str
) -> None:
    """In a long conversation, once the log has its pages: 10 kB, and 30 entries at most."""
    conversation = make_long_conversation(db, owner, messages=3000)
    take_turns(db, owner, conversation, turns=TURNS)
    entries, log = index_entries(db), log_position(db)
    take_turns(db, owner, conversation, turns=TURNS)
    assert (log_position(db) - log) / TURNS < 10_000
    assert (index_entries(db) - entries) / TURNS <= 30


def test_a_heartbeat_touches_no_index(db: psycopg.Connection, owner: str) -> None:
    """What is written each second, the draft and the lease, is in none."""
    begun = Caller(db).begin(owner)
    before = updates(db, "turns")
    for offset in range(0, 50, 5):
        Caller(db).call(
            "extend_turns",
            extensions=Jsonb(
                [
                    {
                        "user_id": owner,
                        "turn_id": begun["turn"]["id"],
                        "attempt": 1,
                        "draft_offset": offset,
                        "draft_tail": "Hello",
                    }
                ]
            ),
            lease_seconds=60,
        )
    made, in_place = (now - then for now, then in zip(updates(db, "turns"), before, strict=True))
    assert made == in_place == 10


def test_rows_that_are_made_one_after_another_have_ids_in_that_order(
    db: psycopg.Connection, owner: str
) -> None:
    """Whoever makes them: a client, or the functions."""
    ids = []
    for _ in range(3):
        row = db.execute(
            "with chat as (insert into conversations (user_id) values (%s) returning id)"
            " insert into messages (user_id, conversation_id, role, content)"
            " select %s, id, 'user', 'x' from chat returning conversation_id, id, pg_sleep(0.002)",
            (owner, owner),
        ).fetchone()
        begun = Caller(db).begin(owner)
        assert row is not None
        ids.append([row[0], row[1], uuid.UUID(begun["turn"]["id"])])
    assert {each.version for made in ids for each in made} == {7}
    assert all(list(made) == sorted(made) for made in zip(*ids, strict=True))


def index_entries(db: psycopg.Connection) -> int:
    """Return how many entries our trees have been given: one each for every new row version."""
    return int(
        value_of(
            db,
            "select sum((t.n_tup_ins + t.n_tup_upd - t.n_tup_hot_upd) * i.trees)"
            " from pg_stat_user_tables as t"
            " cross join lateral ("
            "     select count(*) as trees from pg_index as x"
            "     join pg_class as c on c.oid = x.indexrelid"
            "     join pg_am as a on a.oid = c.relam and a.amname = 'btree'"
            "     where x.indrelid = t.relid and x.indpred is null"
            f" ) as i where t.{OURS}",
        )
    )


def updates(db: psycopg.Connection, table: str) -> tuple[int, int]:
    """Return how many updates a table has had, and how many of them touched no index."""
    db.execute("select pg_stat_force_next_flush()")
    row = db.execute(
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = %s", (table,)
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def log_position(db: psycopg.Connection) -> int:
    """Return how many bytes the write-ahead log has had."""
    return int(value_of(db, "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))


def value_of(db: psycopg.Connection, query: str) -> Any:
    """Return the one value of a query, after the counts of what came before are published."""
    db.execute("select pg_stat_force_next_flush()")
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
