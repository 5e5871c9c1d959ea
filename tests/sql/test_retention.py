"""Policies, legal holds and erasure in SQL, on a database that holds nothing else."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import psycopg.sql
import pytest

from local import database
from tests.support.postgres import Server
from tests.support.sql_calls import Caller, make_account, make_conversation

pytest_plugins = ["tests.support.scratch"]

WHO_DELETES = ("owner", "service", "superuser", "account")


@pytest.fixture
def service(scratch: psycopg.Connection) -> Caller:
    """The backend's role on an empty migrated database."""
    return Caller(scratch)


@pytest.fixture
def owner(scratch: psycopg.Connection) -> str:
    """A user with nothing."""
    return make_account(scratch)


@pytest.fixture
def database_url(bare_server: Server) -> Iterator[str]:
    """A migrated database for several connections."""
    with bare_server.database() as url:
        database.shape(url)
        database.migrate(url)
        yield url


def idle(
    db: psycopg.Connection, user_id: str, days: float, *, messages: int = 2, **columns: Any
) -> str:
    """Insert a conversation that nobody has written to for so many days."""
    conversation = make_conversation(db, user_id, messages=messages)
    db.execute(
        "update conversations set updated_at = now() - %s * interval '1 day' where id = %s",
        (days, conversation),
    )
    for column, value in columns.items():
        db.execute(
            psycopg.sql.SQL("update conversations set {} = %s where id = %s").format(
                psycopg.sql.Identifier(column)
            ),
            (value, conversation),
        )
    return conversation


def state(db: psycopg.Connection, *conversations: str) -> list[str]:
    """Say of each conversation whether it is active, archived or gone."""
    rows: dict[str, str] = dict(
        db.execute(
            "select id::text, case when archived_at is null then 'active' else 'archived' end"
            " from conversations"
        ).fetchall()
    )
    return [rows.get(conversation, "gone") for conversation in conversations]


def test_a_dry_run_counts_exactly_what_the_real_one_does(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Two are archived, two deleted, two too young, one archived already; dry, none changes."""
    service.call("set_retention_policy", archive_after_days=30, delete_after_days=90)
    made = [idle(scratch, owner, days) for days in (31, 89.9, 90.1, 400, 29.9, 0)]
    made.append(idle(scratch, owner, 60, archived_at="2026-01-01"))
    dry = service.call("apply_retention", dry_run=True)
    before = state(scratch, *made)
    real = service.call("apply_retention", dry_run=False)
    again = service.call("apply_retention", dry_run=False)
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
    service.call("apply_retention", dry_run=False)
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
    service.call("apply_retention", dry_run=False)
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
    answer = service.call("apply_retention", dry_run=False)
    assert [row["delete_after_days"] for row in listed] == [7]
    assert answer["deleted"]["conversations"] == 0
    assert state(scratch, old) == ["active"]


def test_what_was_restored_is_left_for_as_long_as_something_new(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Its place in the list stays; idle again for long enough, it is archived again."""
    service.call("set_retention_policy", archive_after_days=30, delete_after_days=60)
    old = idle(scratch, owner, 45)
    service.call("apply_retention", dry_run=False)
    restored = service.call("update_conversation", conversation_id=old, archived=False)
    at_once = service.call("apply_retention", dry_run=False)
    kept = state(scratch, old)
    scratch.execute("update conversations set restored_at = now() - interval '31 days'")
    service.call("apply_retention", dry_run=False)
    assert restored["restored_at"] is not None
    assert restored["updated_at"] < restored["restored_at"]
    assert (at_once["archived"], kept, state(scratch, old)) == (0, ["active"], ["archived"])


def test_a_batch_is_as_large_as_asked_for_and_says_whether_there_is_more(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Longest idle first; the dry run says the same of each batch."""
    service.call("set_retention_policy", delete_after_days=1)
    made = [idle(scratch, owner, days) for days in (2, 3, 4, 5, 6)]
    batches = []
    for _ in range(4):
        pair = [service.call("apply_retention", dry_run=dry, most=2) for dry in (True, False)]
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
    service.call("apply_retention", dry_run=False, project_id=project)
    assert first == ["gone", "active", "active"]
    assert state(scratch, *made) == ["gone", "gone", "active"]


def test_a_running_turn_and_a_hold_keep_a_conversation_from_retention(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """By the same rule in both runs, until the turn has ended and the hold is released."""
    service.call("set_retention_policy", delete_after_days=1)
    running = service.begin(owner)["conversation"]["id"]
    held, free = idle(scratch, owner, 3), idle(scratch, owner, 3)
    scratch.execute("update conversations set updated_at = now() - interval '3 days'")
    hold = service.call("place_legal_hold", conversation_id=held, reason="case")
    dry, real = (service.call("apply_retention", dry_run=dry) for dry in (True, False))
    after = state(scratch, running, held, free)
    service.call("release_legal_hold", hold_id=hold["id"])
    service.call("apply_retention", dry_run=False)
    assert dry["deleted"] == real["deleted"] == {"conversations": 1, "messages": 2, "turns": 0}
    assert after == ["active", "active", "gone"]
    assert state(scratch, running, held) == ["active", "gone"]


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
        first = service.call("apply_retention", dry_run=False)
        after = state(db, *made)
        writer.rollback()
        second = service.call("apply_retention", dry_run=False)
    assert (first["deleted"]["conversations"], first["skipped"]) == (1, 1)
    assert after == ["active", "gone"]
    assert (second["deleted"]["conversations"], second["skipped"]) == (1, 0)


@pytest.mark.parametrize("scope", ["conversation_id", "user_id"])
@pytest.mark.parametrize("who", WHO_DELETES)
def test_nobody_removes_what_is_held(
    scratch: psycopg.Connection, service: Caller, owner: str, who: str, scope: str
) -> None:
    """Neither directly nor by deleting the account; once it is released, anybody who may does."""
    conversation = make_conversation(scratch, owner, messages=1)
    named = {"conversation_id": conversation, "user_id": owner}
    hold = service.call("place_legal_hold", reason="case", **{scope: named[scope]})
    for is_released in (False, True):
        if is_released:
            service.call("release_legal_hold", hold_id=hold["id"])
        try:
            with scratch.transaction():
                _remove(scratch, who, conversation, owner)
            refusal = None
        except psycopg.Error as error:
            refusal = (error.sqlstate, error.diag.message_detail)
        assert refusal == (None if is_released else ("PT409", "legal_hold"))
        assert state(scratch, conversation) == ["gone" if is_released else "active"]


def _remove(db: psycopg.Connection, who: str, conversation: str, owner: str) -> None:
    if who == "account":
        db.execute("delete from auth.users where id = %s", (owner,))
        return
    if who == "owner":
        claims = json.dumps({"sub": owner, "role": "authenticated"})
        db.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        db.execute("set local role authenticated")
    elif who == "service":
        db.execute("set local role service_role")
    db.execute("delete from conversations where id = %s", (conversation,))
    db.execute("reset role")


def test_an_account_with_a_hold_and_nothing_else_can_not_go(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Its hold would go with it; released, it does."""
    hold = service.call("place_legal_hold", reason="case", user_id=owner)
    with pytest.raises(psycopg.Error, match="in force"), scratch.transaction():
        scratch.execute("delete from auth.users where id = %s", (owner,))
    service.call("release_legal_hold", hold_id=hold["id"])
    scratch.execute("delete from auth.users where id = %s", (owner,))
    assert scratch.execute("select count(*) from private.legal_holds").fetchone() == (0,)


def test_a_hold_waits_for_a_removal_that_has_begun(database_url: str) -> None:
    """And then finds nothing to hold: no removal slips through behind a hold that was given."""
    with (
        psycopg.connect(database_url, autocommit=True) as db,
        psycopg.connect(database_url) as remover,
    ):
        user_id = make_account(db)
        conversation = make_conversation(db, user_id)
        remover.execute("delete from conversations where id = %s", (conversation,))
        db.execute("set lock_timeout = '200ms'")
        for named in ({"conversation_id": conversation}, {"user_id": user_id}):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                Caller(db).call("place_legal_hold", reason="case", **named)
        remover.commit()
        with pytest.raises(psycopg.Error) as refusal:
            Caller(db).call("place_legal_hold", reason="case", conversation_id=conversation)
        assert (
            Caller(db).call("place_legal_hold", reason="case", user_id=user_id)["reason"] == "case"
        )
    assert refusal.value.diag.message_detail == "conversation_not_found"


def test_holds_are_listed_by_whether_they_are_in_force(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Several may lie on one conversation; one released keeps its row, and its first moment."""
    conversation = make_conversation(scratch, owner)
    first = service.call("place_legal_hold", reason="one", conversation_id=conversation)
    second = service.call("place_legal_hold", reason="two", user_id=owner)
    ended = service.call("release_legal_hold", hold_id=first["id"])
    scratch.execute(
        "update private.legal_holds set released_at = '2026-01-01' where id = %s", (first["id"],)
    )
    again = service.call("release_legal_hold", hold_id=first["id"])
    listed = [
        [
            row["id"]
            for row in service.call("list_legal_holds", user_id=owner, released=released)["holds"]
        ]
        for released in (False, True)
    ]
    assert ended["released_at"] is not None
    assert again["released_at"].startswith("2026-01-01")
    assert listed == [[second["id"]], [first["id"]]]


def test_a_user_of_nobody_has_neither_a_policy_nor_a_hold(service: Caller) -> None:
    """Both are refused in words."""
    for function, more in (("set_retention_policy", {}), ("place_legal_hold", {"reason": "x"})):
        with pytest.raises(psycopg.Error) as refusal, service.connection.transaction():
            service.call(function, user_id=str(uuid.uuid4()), **more)
        assert refusal.value.diag.message_detail == "user_not_found"


def test_an_erasure_goes_on_batch_by_batch_under_one_key(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """The receipt counts them all; done, it stays as it is, whatever comes later."""
    for _ in range(5):
        make_conversation(scratch, owner, messages=3)
    own = {"user_id": owner, "idempotency_key": "key"}
    seen = [service.call("erase_account", most=2, **own) for _ in range(3)]
    make_conversation(scratch, owner)
    again = service.call("erase_account", **own)
    after = service.call("erase_account", user_id=owner, idempotency_key="another")
    assert [(row["conversations"], row["remaining"]) for row in seen] == [(2, 3), (4, 1), (5, 0)]
    assert [row["erased_at"] is None for row in seen] == [True, True, False]
    assert seen[-1]["messages"] == 15
    assert again == seen[-1]
    assert (after["conversations"], after["messages"]) == (1, 0)


def as_if_long(db: psycopg.Connection, *conversations: str) -> None:
    """Let conversations say that they have 30,000 messages."""
    db.execute("update conversations set last_seq = 30000 where id = any(%s)", ([*conversations],))


def test_a_batch_of_retention_is_bounded_in_messages_too(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """The one that passes the bound is its last; what is only archived counts for nothing."""
    service.call("set_retention_policy", archive_after_days=1, delete_after_days=3)
    made = [idle(scratch, owner, days) for days in (2, 2.5, 4, 5, 6)]
    as_if_long(scratch, *made)
    runs = []
    for _ in range(2):
        pair = [service.call("apply_retention", dry_run=dry) for dry in (True, False)]
        assert pair[0] == pair[1] | {"dry_run": True}
        runs.append((pair[1]["deleted"]["conversations"], pair[1]["archived"], pair[1]["more"]))
    assert runs == [(2, 0, True), (1, 2, False)]
    assert state(scratch, *made) == ["archived"] * 2 + ["gone"] * 3


def test_a_batch_of_an_erasure_is_bounded_in_messages_too(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """The one that passes the bound is its last."""
    as_if_long(scratch, *(make_conversation(scratch, owner) for _ in range(5)))
    own = {"user_id": owner, "idempotency_key": "key"}
    seen = [service.call("erase_account", **own) for _ in range(3)]
    assert [(row["conversations"], row["remaining"]) for row in seen] == [(2, 3), (4, 1), (5, 0)]


def test_an_erasure_leaves_what_is_held_and_says_so(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """A hold on the user refuses all of it, and leaves no receipt."""
    held, free = (make_conversation(scratch, owner, messages=1) for _ in range(2))
    service.call("place_legal_hold", reason="case", conversation_id=held)
    receipt = service.call("erase_account", user_id=owner, idempotency_key="one")
    service.call("place_legal_hold", reason="case", user_id=owner)
    with pytest.raises(psycopg.Error) as refusal, scratch.transaction():
        service.call("erase_account", user_id=owner, idempotency_key="two")
    receipts = scratch.execute("select count(*) from private.erasure_receipts").fetchone()
    assert (receipt["conversations"], receipt["held"], receipt["remaining"]) == (1, 1, 0)
    assert receipt["erased_at"] is not None
    assert state(scratch, held, free) == ["active", "gone"]
    assert (refusal.value.sqlstate, refusal.value.diag.message_detail) == ("PT409", "legal_hold")
    assert receipts == (1,)


@pytest.mark.parametrize("who", WHO_DELETES)
def test_live_events_go_with_their_conversation(
    scratch: psycopg.Connection, service: Caller, owner: str, who: str
) -> None:
    """Whoever deletes it; those of others stay."""
    topics = []
    for user_id in (owner, make_account(scratch)):
        begun = service.begin(user_id)
        service.complete(begun)
        topics.append(f"conversation:{begun['conversation']['id']}")
    _remove(scratch, who, topics[0].partition(":")[2], owner)
    left = scratch.execute("select distinct topic from realtime.messages").fetchall()
    assert left == [(topics[1],)]


def test_events_that_may_not_be_deleted_hold_nothing_up(
    scratch: psycopg.Connection, owner: str
) -> None:
    """Where the project's owner has no right to them, the conversation goes all the same."""
    conversation = make_conversation(scratch, owner, messages=1)
    scratch.execute("create role powerless; grant usage on schema realtime to powerless")
    scratch.execute("grant select on conversations to powerless")
    scratch.execute("alter function private.forget_events() owner to powerless")
    scratch.execute("delete from conversations where id = %s", (conversation,))
    left = scratch.execute("select count(*) > 0 from realtime.messages").fetchone()
    assert (state(scratch, conversation), left) == (["gone"], (True,))


def test_events_that_take_too_long_to_delete_hold_nothing_up(
    scratch: psycopg.Connection, owner: str
) -> None:
    """Cancelled, as by a limit on time: the conversation goes all the same."""
    conversation = make_conversation(scratch, owner, messages=1)
    scratch.execute(
        "create function cancel() returns trigger language plpgsql as"
        " 'begin raise exception using errcode = ''query_canceled''; end';"
        "create trigger cancel before delete on realtime.messages"
        " for each row execute function cancel()"
    )
    scratch.execute("delete from conversations where id = %s", (conversation,))
    assert state(scratch, conversation) == ["gone"]


def test_what_was_too_deep_before_there_was_a_limit_stops_nobody(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """It takes messages and is archived with the others; who writes metadata is refused."""
    old = idle(scratch, owner, 5)
    deep = "repeat('{\"a\":', 130) || '1' || repeat('}', 130)"
    scratch.execute("set session_replication_role = replica")
    scratch.execute(f"update conversations set metadata = ({deep})::jsonb where id = %s", (old,))
    scratch.execute("set session_replication_role = origin")
    for table in ("conversations", "messages"):
        with pytest.raises(psycopg.Error) as refused, scratch.transaction():
            scratch.execute(f"update {table} set metadata = ({deep})::jsonb".encode())
        assert refused.value.sqlstate == "23514"
    service.call("set_retention_policy", archive_after_days=1)
    assert service.call("apply_retention", dry_run=False)["archived"] == 1
    begun = service.begin(owner, conversation_id=old)
    assert begun["outcome"] == "started"


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "10000-01-01", "4000-01-01 BC"])
def test_nothing_was_archived_at_a_moment_that_no_calendar_has(
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


def test_a_turn_that_can_not_be_settled_keeps_no_other_from_it(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """The sweeper goes on to the next one, and forgets turns that no limit looks back to."""
    begun = [service.begin(owner) for _ in range(2)]
    scratch.execute("set session_replication_role = replica")
    scratch.execute(
        "insert into messages (conversation_id, user_id, role, content, turn_id, seq, created_at)"
        " values (%s, %s, 'assistant', 'There already.', %s, 7, now())",
        (begun[0]["conversation"]["id"], owner, begun[0]["turn"]["id"]),
    )
    scratch.execute("set session_replication_role = origin")
    scratch.execute("update conversations set last_seq = 6 where last_seq = 1 and id = %s",
                    (begun[0]["conversation"]["id"],))  # fmt: skip
    scratch.execute(
        "update turns set lease_expires_at = now() - interval '1 hour' - attempt * interval '1 s'"
    )
    scratch.execute(
        "insert into private.turn_usage (user_id, started_at)"
        " values (%s, now() - interval '2 days')",
        (owner,),
    )
    swept = service.call("sweep_turns")
    left = scratch.execute("select count(*) from private.turn_usage").fetchone()
    assert swept == {"settled": 1}
    assert left == (0,)


def test_what_was_erased_retained_or_held_leaves_the_doctor_nothing_to_find(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Everything at once, and no invariant is broken."""
    service.call("set_retention_policy", archive_after_days=1, delete_after_days=5)
    for days in (0, 2, 9):
        service.complete(service.begin(owner, conversation_id=idle(scratch, owner, 0)))
        idle(scratch, owner, days)
    service.call("apply_retention", dry_run=False)
    service.call("erase_account", user_id=make_account(scratch), idempotency_key="key")
    checks = service.call("check_invariants")["checks"]
    assert [check["name"] for check in checks if check["broken"]] == []
