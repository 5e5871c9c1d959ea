"""conversation_analytics against turns that were counted by hand."""

import json
import re
import uuid
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from shared.models.buckets import Bucket, bucket_bounds
from tests.support.sql_calls import Caller, make_account, make_conversation

pytest_plugins = ["tests.support.idle_chats"]

PRICES = {
    "openai:large": {"input": 1.25, "output": 10},
    "openai:small": {"input": 0.1, "output": 1},
}


def add_turn(
    db: psycopg.Connection,
    user_id: str,
    started_at: str,
    *,
    conversation: str | None = None,
    status: str = "completed",
    seconds: float = 1,
    attempt: int = 1,
    replays: int = 0,
    **metadata: Any,
) -> None:
    """Insert a turn with its messages as it would be stored after so many seconds."""
    conversation = conversation or make_conversation(db, user_id)
    turn, request, reply = (str(uuid.uuid4()) for _ in range(3))
    is_settled = status != "running"
    start = datetime.fromisoformat(started_at)
    db.execute(
        "insert into turns (id, conversation_id, user_id, idempotency_key, request_hash, status,"
        " attempt, replays, lease_expires_at, started_at,"
        " finished_at) values (%s, %s, %s, %s, 'hash', %s, %s, %s, now(), %s, %s)",
        (turn, conversation, user_id, turn, status, attempt, replays, start,
         start + timedelta(seconds=seconds) if is_settled else None),
    )  # fmt: skip
    rows: list[tuple[str, str, dict[str, Any]]] = [(request, "user", {})]
    rows += [(reply, "assistant", metadata)] if is_settled else []
    for message, role, held in rows:
        db.execute(
            "insert into messages (id, conversation_id, user_id, role, content, metadata, turn_id)"
            " values (%s, %s, %s, %s, 'text', %s, %s)",
            (message, conversation, user_id, role, Jsonb(held), turn),
        )


def ask(
    service: Caller,
    user_id: str,
    *moments: str,
    bucket: Bucket = "day",
    time_zone: str = "UTC",
    **more: Any,
) -> dict[str, Any]:
    """Call conversation_analytics for a user."""
    starts_at, ends_at = map(datetime.fromisoformat, moments)
    bounds = bucket_bounds(starts_at, ends_at, bucket, time_zone)
    return service.call(
        "conversation_analytics",
        user_id=user_id,
        starts_at=starts_at,
        ends_at=ends_at,
        bounds=json.dumps([bound.isoformat() for bound in bounds]),
        **more,
    )


def turns_by_bucket(answer: dict[str, Any]) -> list[tuple[str, int]]:
    """Return when each bucket begins, in UTC, and its turns."""
    return [
        (datetime.fromisoformat(bucket["start"]).strftime("%Y-%m-%d %H:%M"), bucket["turns"])
        for bucket in answer["buckets"]
    ]


@pytest.mark.promise("analytics", red="interrupted turns measured too")
def test_every_figure_is_the_one_counted_by_hand(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Seven turns of one day, each kind among them, and the figures worked out on paper."""
    large: dict[str, Any] = {
        "engine": "openai:large",
        "usage": {"input_tokens": 1000, "output_tokens": 200},
    }
    small: dict[str, Any] = {
        "engine": "openai:small",
        "usage": {"input_tokens": 30, "output_tokens": 7},
    }
    code: dict[str, Any] = {
        "intent": "Write code",
        "complexity": "complex",
        "strategy": "generate_code",
    }
    talk: dict[str, Any] = {"intent": "Answer", "complexity": "simple", "strategy": "direct_answer"}
    files = [{"path": "a.py", "language": "python"}, {"path": "b.py", "language": "python"}]
    day = "2026-11-10T"
    add_turn(scratch, owner, day + "08:00Z", seconds=1, replays=3, persistedAfter=0.01,
             filesGenerated=2, files=files, **large, **code)  # fmt: skip
    add_turn(scratch, owner, day + "09:00Z", seconds=2, persistedAfter=0.02, **large, **talk)
    add_turn(scratch, owner, day + "10:00Z", seconds=3, attempt=2, replays=1, **small, **talk)
    add_turn(scratch, owner, day + "11:00Z", seconds=4, status="failed", persistedAfter=0.04,
             filesGenerated=0, engine="openai:large")  # fmt: skip
    add_turn(scratch, owner, day + "12:00Z", seconds=10, status="cancelled", **talk)
    add_turn(scratch, owner, day + "13:00Z", seconds=900, status="interrupted", attempt=3)
    add_turn(scratch, owner, day + "14:00Z", status="running")

    answer = ask(service, owner, day + "00:00Z", "2026-11-11T00:00Z", prices=PRICES)

    figures = {
        "turns": 7, "running": 1, "completed": 3, "failed": 1, "cancelled": 1, "interrupted": 1,
        "success_rate": 0.6,  # 3 of 3 + 1 + 1
        "duration": {"measured": 5, "median": 3.0, "p95": 8.8},  # 1 2 3 4 10: 4 + 0.8 * 6
        "files_generated": 2,
        # 2030 and 407 tokens: 2000 * 1.25 + 400 * 10 + 30 * 0.1 + 14 * 0.5 = 6510, a million
        "usage": {"turns": 3, "input_tokens": 2030, "output_tokens": 407, "cost": 0.00651},
        "persistence": {
            "replays_deduplicated": 4,
            "recovered": 1,
            "time_to_first_persist": {"measured": 3, "median": 0.02, "p95": 0.038},
        },
    }  # fmt: skip
    assert answer["totals"] == figures
    (bucket,) = answer["buckets"]
    assert {name: bucket[name] for name in figures} == figures
    assert answer["intents"] == [{"name": "Answer", "turns": 3}, {"name": "Write code", "turns": 1}]
    assert answer["complexities"] == [
        {"name": "simple", "turns": 3}, {"name": "complex", "turns": 1},
    ]  # fmt: skip
    assert [row["turns"] for row in answer["strategies"]] == [3, 1]
    assert answer["models"] == [
        {"name": "openai:large", "turns": 2, "input_tokens": 2000, "output_tokens": 400,
         "cost": 0.0065},
        {"name": "openai:small", "turns": 1, "input_tokens": 30, "output_tokens": 7,
         "cost": 0.00001},
    ]  # fmt: skip


def test_a_range_without_turns_has_every_bucket_with_zeros(service: Caller, owner: str) -> None:
    """And null where there is nothing to measure."""
    answer = ask(service, owner, "2026-11-01T00:00Z", "2026-11-04T00:00Z")
    empty = answer["totals"]
    assert [bucket["turns"] for bucket in answer["buckets"]] == [0, 0, 0]
    assert (empty["success_rate"], empty["duration"]["median"]) == (None, None)
    assert empty["usage"] == {"turns": 0, "input_tokens": 0, "output_tokens": 0, "cost": 0}
    assert (answer["intents"], answer["models"]) == ([], [])


@pytest.mark.promise("analytics", red="an unpriced model costs nothing")
def test_a_model_without_a_price_has_no_cost_and_so_has_the_whole(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """The bucket that only knows priced models keeps its cost; nothing is made up for the other."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    add_turn(scratch, owner, "2026-11-10T08:00Z", engine="openai:large", usage=usage)
    add_turn(scratch, owner, "2026-11-11T08:00Z", engine="unheard-of", usage=usage)
    answer = ask(service, owner, "2026-11-10T00:00Z", "2026-11-12T00:00Z", prices=PRICES)
    assert [row["cost"] for row in answer["models"]] == [1.25, None]
    assert [bucket["usage"]["cost"] for bucket in answer["buckets"]] == [1.25, None]
    assert answer["totals"]["usage"]["cost"] is None


@pytest.mark.promise("analytics", red="`<=`")
def test_the_range_holds_its_start_and_not_its_end(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Also where it begins and ends in the middle of a bucket."""
    for moment in ("09:59:59.999999Z", "10:00:00Z", "12:29:59.999999Z", "12:30:00Z"):
        add_turn(scratch, owner, f"2026-11-10T{moment}")
    answer = ask(service, owner, "2026-11-10T10:00Z", "2026-11-10T12:30Z", bucket="hour")
    assert turns_by_bucket(answer) == [
        ("2026-11-10 10:00", 1), ("2026-11-10 11:00", 0), ("2026-11-10 12:00", 1),
    ]  # fmt: skip
    assert answer["totals"]["turns"] == 2


def test_a_project_is_counted_by_itself(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Turns of other projects, of none, and of another user's in the same are left out."""
    project, inside = str(uuid.uuid4()), make_conversation(scratch, owner)
    stranger = make_account(scratch)
    theirs = make_conversation(scratch, stranger)
    scratch.execute(
        "update conversations set project_id = %s where id in (%s, %s)", (project, inside, theirs)
    )
    add_turn(scratch, owner, "2026-11-10T08:00Z", conversation=inside)
    add_turn(scratch, owner, "2026-11-10T09:00Z")
    add_turn(scratch, stranger, "2026-11-10T10:00Z", conversation=theirs)
    answer = ask(service, owner, "2026-11-10T00:00Z", "2026-11-11T00:00Z", project_id=project)
    assert answer["totals"]["turns"] == 1


@pytest.mark.promise("analytics")
def test_days_where_clocks_change_have_23_and_25_hours(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Berlin in March and October: each turn lies in the day that its clock showed."""
    for moment in ("2026-03-28T22:59Z", "2026-03-28T23:00Z", "2026-03-29T21:59Z",
                   "2026-03-29T22:00Z", "2026-10-24T21:59Z", "2026-10-24T22:00Z",
                   "2026-10-25T22:59Z", "2026-10-25T23:00Z"):  # fmt: skip
        add_turn(scratch, owner, moment)
    spring = ask(
        service, owner, "2026-03-27T23:00Z", "2026-03-30T22:00Z", time_zone="Europe/Berlin"
    )
    autumn = ask(
        service, owner, "2026-10-23T22:00Z", "2026-10-26T23:00Z", time_zone="Europe/Berlin"
    )
    assert turns_by_bucket(spring) == [
        ("2026-03-27 23:00", 1), ("2026-03-28 23:00", 2), ("2026-03-29 22:00", 1),
    ]  # fmt: skip
    assert turns_by_bucket(autumn) == [
        ("2026-10-23 22:00", 1), ("2026-10-24 22:00", 2), ("2026-10-25 23:00", 1),
    ]  # fmt: skip


@pytest.mark.promise("analytics", red="the start of the range compared as an expression")
def test_an_index_finds_the_turns_of_a_range(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Among thousands of others, without reading the table."""
    conversation = make_conversation(scratch, owner)
    scratch.execute("set local session_replication_role = replica")
    scratch.execute(
        "insert into turns (conversation_id, user_id, idempotency_key, request_hash, status,"
        " lease_expires_at, started_at, finished_at)"
        " select %s, %s, n::text, 'hash', 'completed', now(),"
        " timestamptz '2025-01-01Z' + n * interval '1 hour',"
        " timestamptz '2025-01-01Z' + n * interval '1 hour 1 second'"
        " from generate_series(1, 5000) as n",
        (conversation, owner),
    )
    scratch.execute("analyze turns")
    plans: list[str] = []
    scratch.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    for setting in ("log_min_duration = 0", "log_nested_statements = on", "log_level = notice"):
        scratch.execute("load 'auto_explain'")
        scratch.execute(f"set local auto_explain.{setting}".encode())
    answer = ask(service, owner, "2025-03-01T00:00Z", "2025-03-02T00:00Z", bucket="hour")
    (plan,) = [text for text in plans if "with turned" in text]
    assert answer["totals"]["turns"] == 24
    assert "idx_turns_user_id" in plan
    assert re.search(r"Index Cond: .*user_id = .*started_at >= .*started_at < ", plan), plan


@pytest.mark.promise("analytics", red="nothing is counted")
def test_a_replay_is_counted_and_a_takeover_is_not(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """While it runs, by another worker, and after it has ended."""
    key = {"idempotency_key": "key"}
    begun = service.begin(owner, **key)
    outcomes = [service.begin(owner, **key)["outcome"]]
    scratch.execute("update turns set lease_expires_at = now() - interval '1 hour'")
    taken = service.begin(owner, **key)
    service.complete(taken)
    outcomes += [taken["outcome"], *(service.begin(owner, **key)["outcome"] for _ in range(2))]
    row = scratch.execute(
        "select replays, attempt from turns where id = %s", (begun["turn"]["id"],)
    ).fetchone()
    assert outcomes == ["in_progress", "taken_over", "replayed", "replayed"]
    assert row == (3, 2)


def test_the_same_call_again_is_no_replay(scratch: psycopg.Connection, service: Caller) -> None:
    """A function that asks once more after a lost answer is not a client that does."""
    owner, same = make_account(scratch), {"idempotency_key": "key", "message_id": str(uuid.uuid4())}
    for _ in range(3):
        begun = service.begin(owner, **same)
    assert begun["turn"]["replays"] == 0
