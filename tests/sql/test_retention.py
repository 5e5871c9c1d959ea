"""Retention in SQL: which policy applies, to whom, and by how much at a time."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.support.idle_chats import as_if_long, idle, state
from tests.support.invariants import found_broken
from tests.support.sql_calls import Caller, make_account, make_conversation

pytest_plugins = ["tests.support.idle_chats"]


@pytest.mark.promise("retention", red="a dry run that removes")
def test_a_dry_run_counts_exactly_what_the_real_one_does(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Two are archived, two deleted, two too young, one archived already; dry, none changes."""
    service.call("set_retention_policy", archive_after_days=30, delete_after_days=90)
    made = [idle(scratch, owner, days) for days in (31, 89.9, 90.1, 400, 29.9, 0)]
    made.append(idle(scratch, owner, 60, archived_at="2026-01-01"))
    dry = service.call("apply_retention", user_id=owner, dry_run=True)
    before = state(scratch, *made)
    real = service.call("apply_retention", user_id=owner, dry_run=False)
    again = service.call("apply_retention", user_id=owner, dry_run=False)
    expected = {
        "archived": 2,
        "deleted": {"conversations": 2, "messages": 4, "turns": 0},
        "skipped": 0,
        "more": False,
    }
    nothing = {"conversations": 0, "messages": 0, "turns": 0}
    assert dry == {"dry_run": True, **expected}
    assert before == ["active"] * 6 + ["archived"]
    assert real == {"dry_run": False, **expected}
    assert state(scratch, *made) == [
        "archived", "archived", "gone", "gone", "active", "active", "archived",
    ]  # fmt: skip
    assert (again["archived"], again["deleted"]) == (0, nothing)


def test_what_was_imported_is_idle_from_then_on(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Old messages brought in today are there tomorrow; those brought in long ago are not."""
    service.call("set_retention_policy", archive_after_days=30, delete_after_days=90)
    today, last_month, last_year = (
        idle(
            scratch,
            owner,
            1000,
            imported=json.dumps(
                {"source": "chatgpt", "id": str(days), "at": f"{at:%Y-%m-%dT%H:%MZ}"}
            ),
        )
        for days, at in ((days, datetime.now(UTC) - timedelta(days=days)) for days in (0, 40, 400))
    )
    service.call("apply_retention", user_id=owner, dry_run=False)
    assert state(scratch, today, last_month, last_year) == ["active", "archived", "gone"]


def test_the_most_specific_policy_applies(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """A user's before a project's before everybody's; one without days keeps what others remove."""
    project, keeper = str(uuid.uuid4()), make_account(scratch)
    service.call("set_retention_policy", delete_after_days=10)
    service.call("set_retention_policy", project_id=project, archive_after_days=10)
    service.call("set_retention_policy", user_id=keeper)
    made = [
        idle(scratch, owner, 20),
        idle(scratch, owner, 20, project_id=project),
        idle(scratch, keeper, 20),
        idle(scratch, keeper, 20, project_id=project),
    ]
    for user_id in (owner, keeper):
        service.call("apply_retention", user_id=user_id, dry_run=False)
    assert state(scratch, *made) == ["gone", "archived", "active", "active"]


def test_without_a_policy_nothing_is_removed(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """However old it is; a policy that was set twice is one, and one taken back is none."""
    old = idle(scratch, owner, 9999)
    for days in (5, 7):
        policy = service.call("set_retention_policy", delete_after_days=days)
    listed = service.call("list_retention_policies")["policies"]
    service.call("delete_retention_policy", policy_id=policy["id"])
    answer = service.call("apply_retention", user_id=owner, dry_run=False)
    assert [row["delete_after_days"] for row in listed] == [7]
    assert answer["deleted"]["conversations"] == 0
    assert state(scratch, old) == ["active"]


@pytest.mark.promise("retention", red="idle days counted from `updated_at` alone")
def test_what_was_restored_is_left_for_as_long_as_something_new(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Its place in the list stays; idle again for long enough, it is archived again."""
    service.call("set_retention_policy", archive_after_days=30, delete_after_days=60)
    old = idle(scratch, owner, 45)
    service.call("apply_retention", user_id=owner, dry_run=False)
    restored = service.call(
        "update_conversation", user_id=owner, conversation_id=old, archived=False
    )
    at_once = service.call("apply_retention", user_id=owner, dry_run=False)
    kept = state(scratch, old)
    scratch.execute("update conversations set restored_at = now() - interval '31 days'")
    service.call("apply_retention", user_id=owner, dry_run=False)
    assert restored["restored_at"] is not None
    assert restored["updated_at"] < restored["restored_at"]
    assert (at_once["archived"], kept, state(scratch, old)) == (0, ["active"], ["archived"])


@pytest.mark.promise("retention", red="a dry run that removes")
def test_a_batch_is_as_large_as_asked_for_and_says_whether_there_is_more(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Longest idle first; the dry run says the same of each batch."""
    service.call("set_retention_policy", delete_after_days=1)
    made = [idle(scratch, owner, days) for days in (2, 3, 4, 5, 6)]
    batches = []
    for _ in range(4):
        pair = [
            service.call("apply_retention", user_id=owner, dry_run=dry, most=2)
            for dry in (True, False)
        ]
        assert pair[0] == pair[1] | {"dry_run": True}
        batches.append((pair[1]["deleted"]["conversations"], pair[1]["more"]))
        if len(batches) == 1:
            assert state(scratch, *made) == ["active"] * 3 + ["gone"] * 2
    assert batches == [(2, True), (2, True), (1, False), (0, False)]


def test_a_scope_bounds_what_a_run_touches(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """A user's or a project's conversations alone, by the policies of everybody."""
    project, other = str(uuid.uuid4()), make_account(scratch)
    service.call("set_retention_policy", delete_after_days=1)
    made = [idle(scratch, owner, 2), idle(scratch, other, 2, project_id=project)]
    made.append(idle(scratch, other, 2))
    service.call("apply_retention", dry_run=False, user_id=owner)
    first = state(scratch, *made)
    due = service.call("list_users_due_for_retention", project_id=project)
    service.call("apply_retention", user_id=other, dry_run=False, project_id=project)
    assert first == ["gone", "active", "active"]
    assert due == {"users": [other], "next": None}
    assert state(scratch, *made) == ["gone", "gone", "active"]


def test_whose_conversations_are_due_is_listed_longest_idle_first(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Each user once, and none who has nothing to archive or delete, or whose all is held."""
    service.call("set_retention_policy", archive_after_days=3)
    older, fresh, held = (make_account(scratch) for _ in range(3))
    for user_id, days in ((owner, 4), (owner, 5), (older, 9), (fresh, 2), (held, 9)):
        idle(scratch, user_id, days)
    service.call("place_legal_hold", user_id=held, reason="case")
    listed = service.call("list_users_due_for_retention")
    service.call("apply_retention", user_id=older, dry_run=False)
    after = service.call("list_users_due_for_retention")
    assert listed == {"users": [older, owner], "next": None}
    assert after == {"users": [owner], "next": None}


@pytest.mark.promise("retention", red="every idle conversation looked at")
def test_a_listing_looks_at_so_many_and_says_where_the_next_begins(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Those that a policy keeps are looked at too, at one moment or not, and none twice."""
    service.call("set_retention_policy", archive_after_days=3)
    keeper = make_account(scratch)
    service.call("set_retention_policy", user_id=keeper)
    for user_id in (keeper, keeper, keeper, owner, keeper):
        idle(scratch, user_id, 9)
    scratch.execute("update conversations set updated_at = now() - interval '9 days'")
    pages: list[list[str]] = []
    place: dict[str, Any] | None = {}
    while place is not None:
        page = service.call("list_users_due_for_retention", most=2, **place)
        pages.append(page["users"])
        place = page["next"]
    assert len(pages) == 3
    assert [user for page in pages for user in page] == [owner]


def test_the_schedule_applies_retention_one_user_a_transaction(database_url: str) -> None:
    """Of every user who is due; one whose rows can't be had keeps no other from it."""
    with psycopg.connect(database_url, autocommit=True) as db:
        users = [make_account(db) for _ in range(3)]
        made = [idle(db, user_id, 9 - place) for place, user_id in enumerate(users)]
        Caller(db).call("set_retention_policy", delete_after_days=1)
        db.execute(
            "create function refuse() returns trigger language plpgsql as"
            " 'begin raise exception ''not this one''; end';"
            "create trigger refuse before delete on conversations for each row"
            f" when (old.user_id = '{users[0]}') execute function refuse()".encode()
        )
        db.execute("call private.sweep('apply-retention', 100)")
        assert state(db, *made) == ["active", "gone", "gone"]


def test_the_schedule_applies_retention_to_all_who_are_due(database_url: str) -> None:
    """However many: whoever had to wait for the next run would wait for ever behind new ones."""
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(
            "insert into auth.users (id) select gen_random_uuid() from generate_series(1, 150)"
        )
        db.execute(
            "insert into conversations (user_id, updated_at)"
            " select id, now() - interval '9 days' from auth.users"
        )
        Caller(db).call("set_retention_policy", delete_after_days=1)
        db.execute("call private.sweep('apply-retention', 100)")
        assert db.execute("select count(*) from conversations").fetchone() == (0,)


@pytest.mark.promise("retention", red="holds not in the rule")
def test_a_running_turn_and_a_hold_keep_a_conversation_from_retention(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """By the same rule in both runs, until the turn has ended and the hold is released."""
    service.call("set_retention_policy", delete_after_days=1)
    running = service.begin(owner)["conversation"]["id"]
    held, free = idle(scratch, owner, 3), idle(scratch, owner, 3)
    scratch.execute("update conversations set updated_at = now() - interval '3 days'")
    hold = service.call("place_legal_hold", user_id=owner, conversation_id=held, reason="case")
    dry, real = (
        service.call("apply_retention", user_id=owner, dry_run=dry) for dry in (True, False)
    )
    after = state(scratch, running, held, free)
    service.call("release_legal_hold", user_id=owner, hold_id=hold["id"])
    service.call("apply_retention", user_id=owner, dry_run=False)
    assert dry["deleted"] == real["deleted"] == {"conversations": 1, "messages": 2, "turns": 0}
    assert after == ["active", "active", "gone"]
    assert state(scratch, running, held) == ["active", "gone"]


@pytest.mark.promise("retention", red="no `skip locked`")
def test_what_is_locked_is_skipped_and_not_waited_for(database_url: str) -> None:
    """A conversation that somebody writes to is left for the next run; the others go."""
    with (
        psycopg.connect(database_url, autocommit=True) as db,
        psycopg.connect(database_url) as writer,
    ):
        user_id = make_account(db)
        made = [idle(db, user_id, 3), idle(db, user_id, 3)]
        service = Caller(db)
        service.call("set_retention_policy", delete_after_days=1)
        writer.execute("select from conversations where id = %s for update", (made[0],))
        db.execute("set lock_timeout = '5s'")
        first = service.call("apply_retention", user_id=user_id, dry_run=False)
        after = state(db, *made)
        writer.rollback()
        second = service.call("apply_retention", user_id=user_id, dry_run=False)
    assert (first["deleted"]["conversations"], first["skipped"]) == (1, 1)
    assert after == ["active", "gone"]
    assert (second["deleted"]["conversations"], second["skipped"]) == (1, 0)


@pytest.mark.promise("retention", red="500 conversations whatever their length")
def test_a_batch_of_retention_is_bounded_in_messages_too(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """The one that passes the bound is its last; what is only archived counts for nothing."""
    service.call("set_retention_policy", archive_after_days=1, delete_after_days=3)
    made = [idle(scratch, owner, days) for days in (2, 2.5, 4, 5, 6)]
    as_if_long(scratch, *made)
    runs = []
    for _ in range(2):
        pair = [
            service.call("apply_retention", user_id=owner, dry_run=dry) for dry in (True, False)
        ]
        assert pair[0] == pair[1] | {"dry_run": True}
        runs.append((pair[1]["deleted"]["conversations"], pair[1]["archived"], pair[1]["more"]))
    assert runs == [(2, 0, True), (1, 2, False)]
    assert state(scratch, *made) == ["archived"] * 2 + ["gone"] * 3


def test_what_is_archived_and_not_yet_to_be_deleted_is_not_looked_at(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """A user may have tens of thousands of it; what is to be deleted goes all the same."""
    service.call("set_retention_policy", archive_after_days=1, delete_after_days=9)
    made = [idle(scratch, owner, days, archived_at="2020-01-01") for days in (3, 4, 5, 10)]
    scratch.execute("set local track_functions = 'all'")
    service.call("apply_retention", user_id=owner, dry_run=False)
    looked_at = scratch.execute(
        "select calls from pg_stat_xact_user_functions where funcname = 'retention_action'"
    ).fetchone()
    assert state(scratch, *made) == ["archived"] * 3 + ["gone"]
    assert looked_at == (2,)


@pytest.mark.promise("retention", red="depth as a check constraint")
def test_what_was_too_deep_before_there_was_a_limit_stops_nobody(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """It takes messages and is archived with the others; who writes metadata is refused."""
    old = idle(scratch, owner, 5)
    deep = "repeat('{\"a\":', 130) || '1' || repeat('}', 130)"
    scratch.execute("alter table conversations disable trigger conversations_storable")
    scratch.execute(f"update conversations set metadata = ({deep})::jsonb where id = %s", (old,))
    scratch.execute("alter table conversations enable always trigger conversations_storable")
    for table in ("conversations", "messages"):
        with pytest.raises(psycopg.Error) as refused, scratch.transaction():
            scratch.execute(f"update {table} set metadata = ({deep})::jsonb".encode())
        assert refused.value.sqlstate == "23514"
    service.call("set_retention_policy", archive_after_days=1)
    assert service.call("apply_retention", user_id=owner, dry_run=False)["archived"] == 1
    begun = service.begin(owner, conversation_id=old)
    assert begun["outcome"] == "started"


@pytest.mark.promise("retention", red="any moment taken")
@pytest.mark.parametrize("moment", ["infinity", "-infinity", "10000-01-01", "1969-12-31T23:59:59Z"])
def test_nothing_was_archived_at_a_moment_that_no_import_takes(
    scratch: psycopg.Connection, owner: str, moment: str
) -> None:
    """Nor in the future: it is archived now. A moment of the past is kept."""
    conversation = make_conversation(scratch, owner)
    seen = []
    for archived_at in (moment, "2026-01-01T00:00:00Z"):
        seen += scratch.execute(
            "update conversations set archived_at = %s where id = %s"
            " returning archived_at = now(), archived_at = '2026-01-01T00:00:00Z'",
            (archived_at, conversation),
        ).fetchall()
    assert seen == [(True, False), (False, True)]


def test_what_was_erased_retained_or_held_leaves_the_doctor_nothing_to_find(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Everything at once, and no invariant is broken."""
    service.call("set_retention_policy", archive_after_days=1, delete_after_days=5)
    for days in (0, 2, 9):
        service.complete(service.begin(owner, conversation_id=idle(scratch, owner, 0)))
        idle(scratch, owner, days)
    service.call("apply_retention", user_id=owner, dry_run=False)
    service.call("erase_account", user_id=make_account(scratch), idempotency_key="key")
    assert found_broken(scratch, grace=120) == []
