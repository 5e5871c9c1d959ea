"""conversation_analytics against turns that were counted by hand."""

import re
import uuid
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

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


def ask(service: Caller, user_id: str, starts_at: str, ends_at: str, **more: Any) -> dict[str, Any]:
    """Call conversation_analytics for a user."""
    return service.call(
        "conversation_analytics", user_id=user_id, starts_at=starts_at, ends_at=ends_at, **more
    )


def turns_by_bucket(answer: dict[str, Any]) -> list[tuple[str, int]]:
    """Return when each bucket begins, in UTC, and its turns."""
    return [
        (datetime.fromisoformat(bucket["start"]).strftime("%Y-%m-%d %H:%M"), bucket["turns"])
        for bucket in answer["buckets"]
    ]


def bounds(service: Caller, starts_at: str, ends_at: str, bucket: str, time_zone: str) -> list[str]:
    """Return the bounds of buckets, in UTC."""
    service.connection.execute("set local time zone 'UTC'")
    found: Any = service.call(
        "private.bucket_bounds",
        starts_at=starts_at,
        ends_at=ends_at,
        bucket=bucket,
        time_zone=time_zone,
    )
    return [moment.strftime("%m-%d %H:%M") for moment in found]


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


BOUNDS = {
    "an hour that is shown twice is two": (
        "2026-11-01T04:00Z", "2026-11-01T08:00Z", "hour", "America/New_York",
        ["11-01 04:00", "11-01 05:00", "11-01 06:00", "11-01 07:00", "11-01 08:00"],
    ),
    "an hour that is skipped is none": (
        "2026-03-29T00:00Z", "2026-03-29T03:00Z", "hour", "Europe/Berlin",
        ["03-29 00:00", "03-29 01:00", "03-29 02:00", "03-29 03:00"],
    ),
    "hours of a zone with a half": (
        "2026-11-01T00:00Z", "2026-11-01T02:00Z", "hour", "Asia/Kolkata",
        ["10-31 23:30", "11-01 00:30", "11-01 01:30", "11-01 02:30"],
    ),
    "days of a zone with a half": (
        "2026-11-01T00:00Z", "2026-11-02T00:00Z", "day", "Asia/Kolkata",
        ["10-31 18:30", "11-01 18:30", "11-02 18:30"],
    ),
    "hours of a zone with three quarters": (
        "2026-11-01T00:00Z", "2026-11-01T01:00Z", "hour", "Asia/Kathmandu",
        ["10-31 23:15", "11-01 00:15", "11-01 01:15"],
    ),
    "clocks that go back by half an hour": (
        "2026-04-04T14:00Z", "2026-04-04T17:00Z", "hour", "Australia/Lord_Howe",
        ["04-04 14:00", "04-04 15:30", "04-04 16:30", "04-04 17:30"],
    ),
    "a range that begins in the half hour shown twice": (
        "2026-04-04T15:10Z", "2026-04-04T15:20Z", "hour", "Australia/Lord_Howe",
        ["04-04 14:00", "04-04 15:30"],
    ),
    "clocks that go forward by half an hour": (
        "2026-10-03T14:30Z", "2026-10-03T17:00Z", "hour", "Australia/Lord_Howe",
        ["10-03 14:30", "10-03 16:00", "10-03 17:00"],
    ),
    "a day with two midnights begins at the first": (
        "2026-10-24T12:00Z", "2026-10-26T01:00Z", "day", "Atlantic/Azores",
        ["10-24 00:00", "10-25 00:00", "10-26 01:00"],
    ),
    "a day without a midnight begins after it": (
        "2026-04-23T22:00Z", "2026-04-24T21:00Z", "day", "Africa/Cairo",
        ["04-23 22:00", "04-24 21:00"],
    ),
    "weeks begin on Monday": (
        "2026-10-22T00:00Z", "2026-11-02T00:00Z", "week", "Europe/Berlin",
        ["10-18 22:00", "10-25 23:00", "11-01 23:00", "11-08 23:00"],
    ),
    "months": (
        "2026-02-10T00:00Z", "2026-04-10T00:00Z", "month", "Europe/Berlin",
        ["01-31 23:00", "02-28 23:00", "03-31 22:00", "04-30 22:00"],
    ),
}  # fmt: skip


@pytest.mark.promise("analytics", red="the second midnight is taken")
@pytest.mark.parametrize("name", BOUNDS)
def test_buckets_are_those_of_the_zones_clock(service: Caller, name: str) -> None:
    """They follow each other without a gap, whatever the clock does."""
    starts_at, ends_at, bucket, time_zone, expected = BOUNDS[name]
    assert bounds(service, starts_at, ends_at, bucket, time_zone) == expected


REFUSED: dict[str, dict[str, Any]] = {
    "no range": {"ends_at": "2026-11-01T00:00Z"},
    "a range that runs back": {"ends_at": "2026-10-01T00:00Z"},
    "a range without an end": {"ends_at": "infinity"},
    "no moment": {"ends_at": None},
    "401 days": {"ends_at": "2027-12-07T00:00Z"},
    "another bucket": {"bucket": "minute"},
    "no bucket": {"bucket": None},
    "a zone of nowhere": {"time_zone": "Europe/Nowhere"},
    "an abbreviation, which has no summer": {"time_zone": "PST"},
    "a formula": {"time_zone": "UTC+3"},
    "a formula that looks like a name": {"time_zone": "Foo/Bar+3"},
    "no zone": {"time_zone": None},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_counted_is_refused(service: Caller, owner: str, name: str) -> None:
    """With a word and a sentence for the caller."""
    arguments = {"starts_at": "2026-11-01T00:00Z", "ends_at": "2026-11-02T00:00Z", **REFUSED[name]}
    with pytest.raises(psycopg.Error) as refusal:
        service.call("conversation_analytics", user_id=owner, **arguments)
    assert (refusal.value.sqlstate, refusal.value.diag.message_detail) == (
        "PT400", "invalid_request",
    )  # fmt: skip


@pytest.mark.parametrize("bucket", ["hour", "day", "week", "month"])
def test_400_buckets_are_allowed(service: Caller, owner: str, bucket: str) -> None:
    """Exactly so many, and not one more, for each kind."""
    row = service.connection.execute(
        "select timestamptz '2024-01-01 00:00Z' at time zone 'UTC' + 400 * ('1 ' || %s)::interval",
        (bucket,),
    ).fetchone()
    assert row is not None
    whole = ask(service, owner, "2024-01-01T00:00Z", f"{row[0].isoformat()}Z", bucket=bucket)
    assert len(whole["buckets"]) == 400
    with pytest.raises(psycopg.Error, match="More than 400 buckets"):
        ask(service, owner, "2024-01-01T00:00Z", f"{row[0].isoformat()}.1Z", bucket=bucket)


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
