"""What the doctor's SQL functions find in a database, all of its steps together."""

from collections import Counter
from typing import Any

import psycopg
from psycopg.types.json import Jsonb


def found_broken(db: psycopg.Connection, *, grace: int = 0, since: Any = None) -> list[Any]:
    """Return what is broken, as {name, user_id, id}."""
    found: list[Any] = []
    place = None
    while True:
        row = db.execute(
            "select check_invariants(grace_seconds => %s, since => %s, after => %s)",
            (grace, since, None if place is None else Jsonb(place)),
        ).fetchone()
        assert row is not None
        found += [broken for broken in row[0]["broken"] if broken not in found]
        place = row[0]["next"]
        if place is None:
            return found


def counts_of(found: list[Any]) -> dict[str, int]:
    """Return how often each check fails, of those that do."""
    return dict(Counter(broken["name"] for broken in found))


def repair(db: psycopg.Connection, found: list[Any]) -> set[str]:
    """Have what was found mended, and return the names of what was."""
    mended: set[str] = set()
    for user_id in {broken["user_id"] for broken in found}:
        theirs = [broken for broken in found if broken["user_id"] == user_id]
        row = db.execute("select repair_invariants(%s, %s)", (user_id, Jsonb(theirs))).fetchone()
        assert row is not None
        mended |= set(row[0]["repaired"])
    return mended
