"""A turn against the least that could be done: python -m bench.turn [--rounds 300].

Through the gateway: one mega-mind turn with an instant engine, against two empty rpc calls.
In SQL: begin_turn and complete_turn on a conversation of 20 messages, against two bare inserts,
each its own commit. Both sides take turns in one run; the figures are medians.
"""

import argparse
import dataclasses
import shutil
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import psycopg

from local.settings import LocalSettings
from local.stack import Stack
from tests.support.stack import WITHOUT_LIMITS, settings_in

HISTORY = 20

BEGIN = """
select public.begin_turn(
    user_id => %(user)s, idempotency_key => %(key)s, request_hash => 'bench', request => 'Hello',
    message_id => %(message)s, conversation_id => %(conversation)s,
    history_tokens => 100000
)
"""
COMPLETE = """
select public.complete_turn(
    user_id => %(user)s, turn_id => %(turn)s, attempt => 1, message_id => %(message)s,
    status => 'completed', content => 'Done.', metadata => '{"success": true}'
)
"""
BARE = """
create table if not exists bench_messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id uuid not null,
    role text not null,
    content text not null,
    metadata jsonb default '{}',
    created_at timestamptz default now()
);
create index if not exists bench_messages_idx on bench_messages (conversation_id, created_at);
"""
BARE_INSERT = "insert into bench_messages (conversation_id, role, content) values (%s, %s, %s)"


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    home = Path(mkdtemp(prefix="message-persistence-bench-"))
    stack = instant_stack(settings_in(home))
    try:
        stack.up()
        report("through the gateway", "two empty rpc calls", *through_gateway(stack, rounds))
        report("in SQL", "two bare inserts", *in_sql(stack, rounds))
    finally:
        stack.down()
        shutil.rmtree(home, ignore_errors=True)


def instant_stack(settings: LocalSettings) -> Stack:
    """Return a stack whose functions have an instant engine."""
    stack = Stack(settings, with_seed=False, environment=WITHOUT_LIMITS)
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", "bench.instant:make_app"),
        *("--port", str(settings.ports.functions), "--no-access-log"),
    ]
    stack.__dict__["functions"] = dataclasses.replace(stack.functions, command=command)
    return stack


def side_by_side(
    ours: Callable[[], Any], least: Callable[[], Any], rounds: int
) -> tuple[list[float], list[float]]:
    """Time both in turns, after a warm-up; return the seconds of each round."""
    for _ in range(max(5, rounds // 10)):
        ours(), least()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, taken in zip((ours, least), times, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    return times


def through_gateway(stack: Stack, rounds: int) -> tuple[list[float], list[float]]:
    """Time turns of a new conversation each against pairs of empty rpc calls."""
    environment = stack.settings.environment()
    public = {"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]}
    service = {"apikey": environment["SUPABASE_SECRET_KEY"]}
    with httpx.Client(base_url=stack.settings.url, timeout=30) as http:
        account = {"email": f"{uuid.uuid4().hex}@example.com", "password": uuid.uuid4().hex}
        session = http.post("/auth/v1/signup", headers=public, json=account).json()
        user = {"authorization": f"Bearer {session['access_token']}"}

        def turn() -> None:
            answer = http.post("/functions/v1/mega-mind", headers=user, json={"request": "Hello"})
            answer.raise_for_status()

        def two_empty_calls() -> None:
            for _ in range(2):
                http.post("/rest/v1/rpc/ping", headers=service, json={}).raise_for_status()

        return side_by_side(turn, two_empty_calls, rounds)


def in_sql(stack: Stack, rounds: int) -> tuple[list[float], list[float]]:
    """Time a turn's two calls against two bare inserts, on one connection, each committed."""
    with psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        row = db.execute("select id from auth.users limit 1").fetchone()
        assert row is not None
        user = row[0]
        db.execute(BARE)

        def turn(conversation: uuid.UUID) -> None:
            names = {"user": user, "key": uuid.uuid4().hex, "conversation": conversation}
            begun = db.execute(BEGIN, {**names, "message": uuid.uuid4()}).fetchone()
            assert begun is not None
            turn_id = begun[0]["turn"]["id"]
            ended = {"user": user, "turn": turn_id, "message": uuid.uuid4()}
            db.execute(COMPLETE, ended).fetchone()

        def two_bare_inserts() -> None:
            for role in ("user", "assistant"):
                db.execute(BARE_INSERT, (user, role, "Hello"))

        conversations = _conversations(db, user, rounds + max(5, rounds // 10))
        return side_by_side(lambda: turn(conversations.pop()), two_bare_inserts, rounds)


def _conversations(db: psycopg.Connection, user: uuid.UUID, count: int) -> list[uuid.UUID]:
    """Make conversations of 20 messages each."""
    made = []
    for _ in range(count):
        row = db.execute(
            "insert into conversations (user_id) values (%s) returning id", (user,)
        ).fetchone()
        assert row is not None
        db.execute(
            "insert into messages (conversation_id, user_id, role, content)"
            " select %s, %s, 'user', 'Hello ' || n from generate_series(1, %s) as n",
            (row[0], user, HISTORY),
        )
        made.append(row[0])
    db.execute("vacuum analyze")
    return made


def report(where: str, least_name: str, ours: list[float], least: list[float]) -> None:
    """Print medians in milliseconds and their ratio."""
    a, b = statistics.median(ours) * 1000, statistics.median(least) * 1000
    print(f"{where:20} a turn {a:7.2f} ms   {least_name} {b:7.2f} ms   ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
