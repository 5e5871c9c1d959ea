"""A page of a long conversation against one of a short one: python -m bench.paging [--rounds 300].

Pages of 50, as their owner reads them, of 100,000 messages (PAGING_MESSAGES) and of 100: the
newest, before a place in the middle, after it and around it. A thousand other users have a few
messages each, so that the planner's statistics are those of a real table. Both sides take turns in
one run; the figures are medians.
"""

import argparse
import os
import statistics
import uuid

import psycopg

from bench.search import sign_in
from bench.turn import side_by_side
from local import database
from tests.support.postgres import running_server

SIZES = (int(os.environ.get("PAGING_MESSAGES", "100000")), 100)
CONVERSATION = "insert into conversations (user_id, last_seq) values (%s, %s) returning id"
MESSAGES = """
insert into messages (conversation_id, user_id, role, content, seq, created_at)
select %s, %s, 'user', 'Message ' || n || repeat(' and what it says', 20), n,
       now() + n * interval '1 microsecond'
from generate_series(1, %s) as n
"""
OTHERS = """
with users as (
    insert into auth.users (id) select gen_random_uuid() from generate_series(1, 1000) returning id
),
chats as (
    insert into conversations (user_id, last_seq) select id, 20 from users returning id, user_id
)
insert into messages (conversation_id, user_id, role, content, seq, created_at)
select id, user_id, 'user', 'Message ' || n, n, now() + n * interval '1 microsecond'
from chats, generate_series(1, 20) as n
"""
PAGE = "select load_conversation(%s, %s, 50, %s, %s, %s)"


def main() -> None:
    """Fill a server of its own, measure, remove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with running_server() as server:
        database.shape(server.url())
        database.migrate(server.url())
        with psycopg.connect(server.url(), autocommit=True) as db:
            compare(db, rounds)


def compare(db: psycopg.Connection, rounds: int) -> None:
    """Print what each way into a page costs on both sides."""
    user = uuid.uuid4()
    db.execute("insert into auth.users (id) values (%s)", (user,))
    _without_triggers(db, OTHERS)
    chats = [_conversation(db, user, size) for size in SIZES]
    db.execute("vacuum analyze")
    sign_in(db, user)
    middles = [_message_at(db, chat, size // 2) for chat, size in zip(chats, SIZES, strict=True)]
    db.execute("set role authenticated")
    for name in ("newest", "before", "after", "around"):
        calls = []
        for chat, size, middle in zip(chats, SIZES, middles, strict=True):
            # All but the newest page lie in the middle, and are full.
            places = {"before": size // 2 + 26, "after": size // 2 - 25, "around": middle}
            place = [places[way] if way == name else None for way in ("before", "after", "around")]
            calls.append((user, chat, *place))
        long, short = calls
        taken = side_by_side(
            lambda ask=long: db.execute(PAGE, ask).fetchone(),  # type: ignore[misc]
            lambda ask=short: db.execute(PAGE, ask).fetchone(),  # type: ignore[misc]
            rounds,
        )
        of_long, of_short = (statistics.median(times) * 1000 for times in taken)
        print(f"{name:8} of {SIZES[0]} {of_long:6.2f} ms   of {SIZES[1]} {of_short:6.2f} ms"
              f"   ratio {of_long / of_short:.2f}")  # fmt: skip


def _conversation(db: psycopg.Connection, user: uuid.UUID, size: int) -> uuid.UUID:
    row = db.execute(CONVERSATION, (user, size)).fetchone()
    assert row is not None
    conversation: uuid.UUID = row[0]
    _without_triggers(db, MESSAGES, conversation, user, size)
    return conversation


def _without_triggers(db: psycopg.Connection, statement: str, *values: object) -> None:
    db.execute("set session_replication_role = replica")
    db.execute(statement.encode(), values)
    db.execute("reset session_replication_role")


def _message_at(db: psycopg.Connection, chat: uuid.UUID, seq: int) -> uuid.UUID:
    row = db.execute(
        "select id from messages where conversation_id = %s and seq = %s", (chat, seq)
    ).fetchone()
    assert row is not None
    message: uuid.UUID = row[0]
    return message


if __name__ == "__main__":
    main()
