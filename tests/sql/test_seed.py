"""The example data of a new project: it fits the schema as it is."""

import psycopg

from local import database

pytest_plugins = ["tests.support.scratch"]


def test_the_example_is_inserted_once_and_breaks_no_invariant(shaped_url: str) -> None:
    """Two conversations, one of them a turn with its reply."""
    database.migrate(shaped_url)
    inserted = [database.seed(shaped_url) for _ in range(2)]
    with psycopg.connect(shaped_url) as db:
        roles = db.execute("select role from messages order by conversation_id, seq").fetchall()
        report = db.execute("select check_invariants(0)").fetchone()
    assert inserted == [True, False]
    assert sorted(role for (role,) in roles) == ["assistant", "user", "user"]
    assert report is not None
    assert [check for check in report[0]["checks"] if check["broken"]] == []
