"""What branches cost: a long conversation of fifty forks is read about as one without any."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import psycopg

from local.stack import Stack
from tests.support import sql_fixtures
from tests.support.sql_calls import Caller, as_user, make_long_conversation

service, owner = sql_fixtures.service, sql_fixtures.owner

MESSAGES = 10_000
FORKS = 50


def forked(db: psycopg.Connection, owner: str) -> str:
    """Insert a conversation of which each two hundredth message begins a branch, four back."""
    chat = make_long_conversation(db, owner, messages=MESSAGES)
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        db.execute(
            "insert into branches (user_id, conversation_id, branch, parent, fork_seq, first_seq)"
            " select %s, %s, n, n - 1, n * 195 - 4, n * 195 + 1 from generate_series(1, %s) as n",
            (owner, chat, FORKS),
        )
        db.execute(
            "update messages as m set branch = least((m.seq - 1) / 195, %s)"
            " where user_id = %s and conversation_id = %s",
            (FORKS, owner, chat),
        )
        db.execute(
            "update conversations set active_branch = %s, last_branch = %s where id = %s",
            (FORKS, FORKS, chat),
        )
    return chat


def ratio(first: Callable[[], Any], second: Callable[[], Any], times: int = 60) -> float:
    """Return by how much the second takes longer, by the lower quartiles of calls side by side."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for call, into in zip((first, second), taken, strict=True):
            begun = time.perf_counter()
            call()
            into.append(time.perf_counter() - begun)
    plain, forked = (statistics.quantiles(each, n=4)[0] for each in taken)
    print(f"{plain * 1000:.2f} ms, {forked * 1000:.2f} ms: {forked / plain:.2f}")  # noqa: T201 - shown with -s
    return forked / plain


def test_fifty_forks_cost_next_to_nothing(
    stack: Stack, db: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Pages, a hit that is opened, the context; a page with a fork on it costs somewhat more."""
    plain, branched = (make_long_conversation(db, owner, messages=MESSAGES), forked(db, owner))
    db.execute("vacuum analyze messages, branches")
    with as_user(stack.settings.db_url, owner) as user:

        def load(chat: str, **place: Any) -> Callable[[], Any]:
            return lambda: user.call("load_conversation", conversation_id=chat, **place)

        def opened(chat: str) -> Callable[[], Any]:
            (hit,) = db.execute(
                "select id from messages where conversation_id = %s and seq = 5000", (chat,)
            ).fetchone() or ("",)
            return load(chat, around=hit)

        def context(chat: str) -> Callable[[], Any]:
            return lambda: user.call("load_history", conversation_id=chat, history_tokens=20_000)

        ratios = {
            "page": ratio(load(plain), load(branched)),
            "middle": ratio(load(plain, before=5_000), load(branched, before=5_000)),
            "hit": ratio(opened(plain), opened(branched)),
            "context": ratio(context(plain), context(branched)),
        }
        with_fork = ratio(load(plain, before=5_100), load(branched, before=5_100))
    assert max(ratios.values()) < 1.6, ratios
    assert with_fork < 2.2
