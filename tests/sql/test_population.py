"""The database that benches measure in is one that the bundle could have written."""

import psycopg

from bench.population import populate
from tests.support.sql_calls import Caller

MESSAGES = 10_000


def test_the_doctor_finds_nothing_broken_in_it(scratch: psycopg.Connection) -> None:
    """Every key, place, owner, turn and indexed word is as if it had been written by turns."""
    populate(scratch, MESSAGES, texts=500)
    caller, rows, after = Caller(scratch), 0, None
    while True:
        step = caller.call("check_invariants", after=after)
        assert step["broken"] == []
        rows, after = rows + step["rows"], step["next"]
        if after is None:
            break
    assert rows > 2 * MESSAGES


def test_its_keys_and_indexes_are_those_of_the_schema(scratch: psycopg.Connection) -> None:
    """They were set aside while it was filled."""
    before = _catalog(scratch)
    populate(scratch, 1_000, texts=100)
    assert _catalog(scratch) == before


def _catalog(db: psycopg.Connection) -> set[tuple[str, str]]:
    return set(
        db.execute(
            "select conname, pg_get_constraintdef(oid) from pg_constraint"
            " where connamespace = any ('{public,private,search}'::regnamespace[])"
            " union all select indexname, indexdef from pg_indexes"
            " where schemaname in ('public', 'private', 'search')"
        ).fetchall()
    )
