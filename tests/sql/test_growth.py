"""What a call reads does not grow with what others have stored: five times as many users, as much
each.

In pages of Postgres, which nothing else on the machine disturbs: a look at an index is a level
deeper at most. `python -m bench.scale` measures the same at ten million messages.
"""

import random
from collections.abc import Iterator

import psycopg
import pytest

from bench.population import populate
from bench.scale import WORK, Users, pages_of
from tests.support.postgres import Server

pytestmark = pytest.mark.promise("lists", red="messages without an index by their place")

FEW, MANY = 10_000, 50_000
RANGE = 150  # pages that an index by ranges may have to look at
MOST = 1.7  # a level for each look at an index, and what a bigger table costs the planner


@pytest.fixture(scope="module")
def databases(bare_server: Server) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """One of ten users, and one of fifty."""
    with (
        bare_server.database("migrated") as few_url,
        bare_server.database("migrated") as many_url,
        psycopg.connect(few_url, autocommit=True) as few,
        psycopg.connect(many_url, autocommit=True) as many,
    ):
        for db, messages in ((few, FEW), (many, MANY)):
            populate(db, messages, texts=500)
            db.execute("vacuum")
            db.execute("select public.set_retention_policy(archive_after_days => 2)")
        yield few, many


@pytest.mark.parametrize("work", [name for name in WORK if not name.startswith("sweep")])
def test_a_call_reads_as_much_as_among_few(
    databases: tuple[psycopg.Connection, psycopg.Connection], work: str
) -> None:
    """Of one user's rows, or of a page's. Both look for the same words: a rare one reads less."""
    sides = [Users(db, 10) for db in databases]
    sides[1].words = sides[0].words
    few, many = (pages_by(side, work) for side in sides)
    assert few > 0
    assert many <= MOST * few + RANGE


def pages_by(users: Users, work: str) -> float:
    """Return how many pages a call looks at, with the same choices each time."""
    random.seed(work)
    return min(run[0] for run in pages_of(users.db, WORK[work](users)))
