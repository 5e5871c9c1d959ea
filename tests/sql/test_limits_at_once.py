"""A user's limits, asked by many callers at once: what is over them is never let in."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from local import database
from tests.support.sql_calls import Caller, as_service, make_account

pytestmark = pytest.mark.promise("costs")

CALLERS = 24
PATIENCE_SECONDS = 60


@pytest.fixture
def owner(shaped_url: str) -> str:
    """A user of a database in which only this test sets limits."""
    database.migrate(shaped_url)
    with psycopg.connect(shaped_url, autocommit=True) as db:
        return make_account(db)


def all_at_once(url: str, owner: str, **arguments: Any) -> int:
    """Begin a turn from each caller, all let go together; return how many were begun."""
    barrier = threading.Barrier(CALLERS, timeout=PATIENCE_SECONDS)

    def begin(service: Caller) -> bool:
        barrier.wait()
        try:
            return bool(service.begin(owner, **arguments)["outcome"] == "started")
        except psycopg.Error as error:
            if error.sqlstate in {"PT429", "55P03"}:  # 503: waited for longer than it may
                return False
            raise

    def run(_: int) -> bool:
        with as_service(url) as service:
            return begin(service)

    with ThreadPoolExecutor(CALLERS) as pool:
        return sum(pool.map(run, range(CALLERS), timeout=PATIENCE_SECONDS))


@pytest.mark.promise("costs", red="count_bytes reads what was written before it writes")
def test_bytes_never_exceed_a_days_limit(shaped_url: str, owner: str) -> None:
    """What is let in is what is counted and stored; who is refused has written nothing."""
    with as_service(shaped_url) as service:
        service.call("set_limits", bytes_per_day=10_000)
    begun = all_at_once(shaped_url, owner, request="x" * 1_500)
    with psycopg.connect(shaped_url) as db:
        stored, counted = db.execute(
            "select (select sum(octet_length(content) + octet_length(metadata::text))"
            " from messages where role = 'user'), (select bytes from private.bytes_written)"
        ).fetchone() or (0, 0)
    assert 1 <= begun <= 6
    assert stored == begun * 1_502
    assert stored - 10 <= counted <= 10_000


@pytest.mark.promise("costs", red="`for update` taken out of `require_turns_left`")
def test_turns_never_exceed_a_days_limit(shaped_url: str, owner: str) -> None:
    """Whose row is locked looks at what those before it have begun."""
    assert 1 <= all_at_once(shaped_url, owner, turns_per_day=3) <= 3


def test_tokens_exceed_a_days_limit_by_what_runs_alone(shaped_url: str, owner: str) -> None:
    """What a turn takes is known once it runs: those that began before may end, no other begins."""
    running = all_at_once(shaped_url, owner, tokens_per_day=100, turns_per_day=5)
    assert 1 <= running <= 5
    with psycopg.connect(shaped_url) as db:
        db.execute("update turns set tokens = 100")
    assert all_at_once(shaped_url, owner, tokens_per_day=100) == 0
