"""What branches cost: a long conversation of fifty forks is read about as one without any."""

import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

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


def cpu(connection: psycopg.Connection) -> int:
    """Return for how long a connection's backend and this process were on a processor, in ns."""
    backend = Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]
    return int(backend) + time.process_time_ns()


def ratio(
    user: Caller, first: Callable[[], Any], second: Callable[[], Any], rounds: int = 40
) -> float:
    """Return by how much more the second takes of a processor, by medians of calls side by side."""
    taken: tuple[list[int], list[int]] = ([], [])
    for _ in range(rounds):
        for call, into in random.sample(list(zip((first, second), taken, strict=True)), 2):
            before = cpu(user.connection)
            call()
            into.append(cpu(user.connection) - before)
    plain, forked = (statistics.median(each) for each in taken)
    print(f"{plain / 1e6:.2f} ms, {forked / 1e6:.2f} ms: {forked / plain:.2f}")  # noqa: T201 - shown with -s
    return forked / plain


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="counts a processor's time")
def test_fifty_forks_cost_next_to_nothing(
    stack: Stack, db: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Pages, one with a fork on it too, a hit that is opened, the context, and a search."""
    plain, branched = (make_long_conversation(db, owner, messages=MESSAGES), forked(db, owner))
    db.execute("select private.lower_watermark(user_id, id) from conversations")
    while service.call("index_messages", user_id=owner)["more"]:
        pass
    db.execute("vacuum analyze messages, branches")
    with as_user(stack.settings.db_url, owner) as user:

        def costs(name: str, **arguments: Any) -> float:
            """Compare a call about the one with that about the other."""
            call = partial(user.call, name, **arguments)
            return ratio(
                user,
                partial(call, conversation_id=plain),
                partial(call, conversation_id=branched),
            )

        def opened(chat: str) -> Callable[[], Any]:
            (hit,) = db.execute(
                "select id from messages where conversation_id = %s and seq = 5000", (chat,)
            ).fetchone() or ("",)
            return partial(user.call, "load_conversation", conversation_id=chat, around=hit)

        found = user.call("search_messages", q="message", conversation_id=branched)
        assert len(found["hits"]) == 20
        ratios = {
            "page": costs("load_conversation"),
            "middle": costs("load_conversation", before=5_000),
            "with a fork": costs("load_conversation", before=5_100),
            "hit": ratio(user, opened(plain), opened(branched)),
            "context": costs("load_history", history_tokens=20_000),
            "search": costs("search_messages", q="message"),
        }
    assert ratios.pop("with a fork") < 1.6
    assert max(ratios.values()) < 1.4, ratios
