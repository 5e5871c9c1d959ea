"""The example data of a new project: it fits the schema as it is."""

import psycopg

from local import database
from tests.support.invariants import found_broken


def test_the_example_is_inserted_once_and_breaks_no_invariant(shaped_url: str) -> None:
    """Two conversations, one of them a turn with its reply."""
    database.migrate(shaped_url)
    inserted = [database.seed(shaped_url) for _ in range(2)]
    with psycopg.connect(shaped_url) as db:
        roles = db.execute("select role from messages order by conversation_id, seq").fetchall()
        broken = found_broken(db)
    assert inserted == [True, False]
    assert sorted(role for (role,) in roles) == ["assistant", "user", "user"]
    assert broken == []
