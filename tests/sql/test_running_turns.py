"""extend_turns, cancel_turn, sweep_turns and the limits of begin_turn, as the backend's role."""

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local.stack import Stack
from tests.support import partitions
from tests.support.sql_calls import (
    Caller,
    as_service,
    as_user,
    assert_whole,
    expire,
    make_account,
    make_conversation,
)

stack = partitions.stack  # as it is, and in partitions


@pytest.fixture
def service(stack: Stack) -> Iterator[Caller]:
    """The backend's role."""
    with as_service(stack.settings.db_url) as caller:
        yield caller


@pytest.fixture
def account(db: psycopg.Connection) -> str:
    """A user without a password."""
    return make_account(db)


def extension_of(begun: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return the heartbeat of a turn, as begin_turn answered it."""
    turn = {"user_id": begun["turn"]["user_id"], "turn_id": begun["turn"]["id"]}
    turn["attempt"] = begun["turn"]["attempt"]
    return {**turn, "draft_offset": 0, "draft_tail": "", **changed}


def extend_all(service: Caller, *each: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Send these heartbeats in one call; return what each turn is answered, by its id."""
    answer = service.call("extend_turns", extensions=Jsonb(list(each)), lease_seconds=60)
    return {turn.pop("turn_id"): turn for turn in answer["turns"]}


def extend(service: Caller, begun: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Send one turn's heartbeat."""
    return extend_all(service, extension_of(begun, **changed))[begun["turn"]["id"]]


def draft(db: psycopg.Connection, begun: dict[str, Any]) -> str:
    """Return a turn's draft."""
    row = db.execute("select draft from turns where id = %s", (begun["turn"]["id"],)).fetchone()
    assert row is not None
    return str(row[0])


def test_a_heartbeat_writes_the_draft_from_an_offset_in_characters(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """Growing, repeated, and empty; offsets count characters of any width."""
    begun = service.begin(account)
    answers = [extend(service, begun, draft_tail="é🎉")]
    answers.append(extend(service, begun, draft_offset=2, draft_tail="四"))
    answers.append(extend(service, begun, draft_offset=2, draft_tail="四五"))
    answers.append(extend(service, begun, draft_offset=4))
    assert draft(db, begun) == "é🎉四五"
    assert answers == [{"is_ours": True, "cancel_requested": False}] * 4


@pytest.mark.promise("fencing", red="every heartbeat's draft written as it comes")
def test_a_heartbeat_that_comes_late_takes_nothing_back(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """A draft only grows: neither an older one nor one beyond a gap changes it."""
    begun = service.begin(account)
    extend(service, begun, draft_tail="abcdef")
    extend(service, begun, draft_offset=6, draft_tail="ghij")
    for late in ({"draft_tail": "abc"}, {"draft_offset": 12, "draft_tail": "mn"}):
        assert extend(service, begun, **late)["is_ours"] is True
        assert draft(db, begun) == "abcdefghij"
    extend(service, begun, draft_offset=10, draft_tail="kl")
    assert draft(db, begun) == "abcdefghijkl"


def test_a_heartbeat_renews_the_lease(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """Also one that is over, while nobody has taken the turn."""
    begun = service.begin(account, lease_seconds=1)
    expire(db, begun)
    assert extend(service, begun)["is_ours"] is True
    row = db.execute(
        "select lease_expires_at > now() + interval '50 seconds' from turns where id = %s",
        (begun["turn"]["id"],),
    ).fetchone()
    assert row == (True,)


def test_a_heartbeat_of_an_older_attempt_or_a_settled_turn_changes_nothing(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """It learns that the turn is no longer its own."""
    begun = service.begin(account, idempotency_key="k")
    expire(db, begun)
    taken = service.begin(account, idempotency_key="k")
    late = extend(service, begun, draft_tail="late")
    service.complete(taken)
    after = extend(service, taken, draft_tail="after")
    assert (taken["outcome"], taken["turn"]["attempt"]) == ("taken_over", 2)
    assert late == after == {"is_ours": False, "cancel_requested": False}
    assert draft(db, begun) == ""


def test_one_call_is_the_heartbeat_of_many_turns(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """Each gets its own answer; one that is lost or gone changes nothing for the others."""
    mine, stopped, lost = service.begin(account), service.begin(account), service.begin(account)
    service.call("cancel_turn", turn_id=stopped["turn"]["id"], user_id=account)
    gone = extension_of(lost, turn_id=str(uuid.uuid4()))
    answers = extend_all(
        service,
        extension_of(mine, draft_tail="Hello"),
        extension_of(stopped, draft_tail="Half"),
        extension_of(lost, attempt=0, draft_tail="late"),
        gone,
    )
    assert answers == {
        mine["turn"]["id"]: {"is_ours": True, "cancel_requested": False},
        stopped["turn"]["id"]: {"is_ours": True, "cancel_requested": True},
        lost["turn"]["id"]: {"is_ours": False, "cancel_requested": False},
        gone["turn_id"]: {"is_ours": False, "cancel_requested": False},
    }
    assert [draft(db, turn) for turn in (mine, stopped, lost)] == ["Hello", "Half", ""]
    assert extend_all(service) == {}


def test_a_turn_that_somebody_holds_holds_up_no_other(
    service: Caller, stack: Stack, db: psycopg.Connection, account: str
) -> None:
    """It is left out of the answer, as if its heartbeat had not been sent."""
    held, free = service.begin(account), service.begin(account)
    with psycopg.connect(stack.settings.db_url) as holder:
        holder.execute("select 1 from turns where id = %s for update", (held["turn"]["id"],))
        answers = extend_all(
            service, extension_of(held, draft_tail="x"), extension_of(free, draft_tail="y")
        )
    assert answers == {free["turn"]["id"]: {"is_ours": True, "cancel_requested": False}}
    assert [draft(db, turn) for turn in (held, free)] == ["", "y"]
    assert extend(service, held, draft_tail="x")["is_ours"] is True


def test_the_same_call_again_goes_on_as_if_its_answer_had_arrived(
    service: Caller, account: str
) -> None:
    """begin_turn with the same message id is `started` once more, until it is taken over."""
    names = {"idempotency_key": "k", "message_id": str(uuid.uuid4())}
    answers = [service.begin(account, **names) for _ in range(2)]
    other = service.begin(account, idempotency_key="k")
    assert [answer["outcome"] for answer in answers] == ["started", "started"]
    assert answers[0]["turn"] == answers[1]["turn"]
    assert other["outcome"] == "in_progress"


def test_a_running_turn_that_is_stopped_learns_of_it_at_its_next_heartbeat(
    service: Caller, account: str
) -> None:
    """Asked for twice it is still one request; the turn runs until its worker has seen it."""
    begun = service.begin(account)
    asked = [
        service.call("cancel_turn", turn_id=begun["turn"]["id"], user_id=account) for _ in range(2)
    ]
    assert [answer["turn"]["status"] for answer in asked] == ["running", "running"]
    assert asked[0]["turn"]["cancel_requested_at"] == asked[1]["turn"]["cancel_requested_at"]
    assert extend(service, begun)["cancel_requested"] is True


def test_stopping_a_turn_without_a_worker_settles_it(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """With the text it had, as cancelled."""
    begun = service.begin(account)
    extend(service, begun, draft_tail="Half")
    expire(db, begun)
    stopped = service.call("cancel_turn", turn_id=begun["turn"]["id"], user_id=account)
    assert (stopped["outcome"], stopped["turn"]["status"]) == ("replayed", "cancelled")
    assert stopped["reply"]["content"] == "Half"
    assert stopped["reply"]["metadata"]["error"]["type"] == "cancelled"


@pytest.mark.promise("take-over", red="stopped turns are taken over")
def test_a_stopped_turn_is_not_taken_over(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """Its worker was gone before it knew: the retry gets what there is, for good."""
    key = uuid.uuid4().hex
    begun = service.begin(account, idempotency_key=key)
    extend(service, begun, draft_tail="Half")
    service.call("cancel_turn", turn_id=begun["turn"]["id"], user_id=account)
    expire(db, begun)
    retried, again = (service.begin(account, idempotency_key=key) for _ in range(2))
    assert (retried["outcome"], retried["turn"]["status"]) == ("replayed", "cancelled")
    assert retried["reply"]["content"] == "Half"
    assert again["reply"] == retried["reply"]
    assert (retried["turn"]["attempt"], again["turn"]["replays"]) == (1, 2)
    assert service.complete(begun)["outcome"] == "superseded"


def test_a_settled_turn_can_not_be_stopped(service: Caller, account: str) -> None:
    """It stays as it is."""
    begun = service.begin(account)
    done = service.complete(begun)
    stopped = service.call("cancel_turn", turn_id=begun["turn"]["id"], user_id=account)
    assert stopped["turn"] == done["turn"]


def test_another_users_turn_and_none_are_the_same_answer(
    stack: Stack, service: Caller, db: psycopg.Connection, account: str
) -> None:
    """For stopping and for reading."""
    turn_id = service.begin(account)["turn"]["id"]
    stranger = make_account(db)
    seen = set()
    with as_user(stack.settings.db_url, stranger) as reading:
        for wanted in (turn_id, str(uuid.uuid4())):
            for caller, function, more in (
                (service, "cancel_turn", {"user_id": stranger}),
                (reading, "load_turn", {"user_id": stranger}),
            ):
                with pytest.raises(psycopg.Error) as refused:
                    caller.call(function, turn_id=wanted, **more)
                seen.add((refused.value.sqlstate, refused.value.diag.message_primary))
    assert seen == {("PT404", "Turn not found.")}


def test_settling_leaves_a_living_turn_alone(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """Only once its lease is over, and only once."""
    begun = service.begin(account)
    settle = {"user_id": account, "conversation_id": begun["conversation"]["id"]}
    answers = [service.call("settle_expired_turn", **settle)]
    expire(db, begun)
    answers += [service.call("settle_expired_turn", **settle) for _ in range(2)]
    assert answers == [{"settled": 0}, {"settled": 1}, {"settled": 0}]
    assert assert_whole(db, begun["conversation"]["id"]) == 2


@pytest.mark.promise("Postgres away")
def test_settling_does_not_wait_for_a_conversation_that_is_being_written(
    stack: Stack, service: Caller, db: psycopg.Connection, account: str
) -> None:
    """Whoever holds it is at work: nothing is settled, and nobody waits."""
    begun = service.begin(account)
    expire(db, begun)
    conversation = begun["conversation"]["id"]
    with psycopg.connect(stack.settings.db_url) as writer:
        writer.execute("select 1 from conversations where id = %s for update", (conversation,))
        meanwhile = service.call(
            "settle_expired_turn", user_id=account, conversation_id=conversation
        )
        writer.rollback()
    assert meanwhile == {"settled": 0}
    assert service.call("settle_expired_turn", user_id=account, conversation_id=conversation) == {
        "settled": 1
    }


def test_a_sweep_settles_the_turns_of_all_users(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """What pg_cron calls: of those that are listed each is settled, and a living one is not."""
    lost = [service.begin(user_id) for user_id in (account, make_account(db))]
    living = service.begin(account)
    for begun in lost:
        expire(db, begun)
    listed = service.call("list_expired_turns")["turns"]
    db.execute("call private.sweep_turns()")
    states = [
        db.execute("select status from turns where id = %s", (begun["turn"]["id"],)).fetchone()
        for begun in (*lost, living)
    ]
    for begun in lost:
        names = {
            "user_id": begun["turn"]["user_id"],
            "conversation_id": begun["conversation"]["id"],
        }
        assert names in listed
    assert states == [("interrupted",), ("interrupted",), ("running",)]


@pytest.mark.parametrize(("limit", "period"), [("turns_per_minute", 60), ("turns_per_day", 86400)])
def test_a_limit_says_when_the_next_turn_may_begin(
    service: Caller, db: psycopg.Connection, account: str, limit: str, period: int
) -> None:
    """The third of two is refused, stores nothing, and a known key is not counted."""
    two: Any = {limit: 2}
    for key in ("a", "b"):
        service.complete(service.begin(account, idempotency_key=key, **two))
    with pytest.raises(psycopg.Error) as refused:
        service.begin(account, idempotency_key="c", **two)
    replayed = service.begin(account, idempotency_key="a", **two)
    stored = db.execute("select count(*) from turns where user_id = %s", (account,)).fetchone()
    message = refused.value.diag.message_primary or ""
    assert refused.value.sqlstate == "PT429"
    assert period - 30 <= int("".join(filter(str.isdigit, message))) <= period
    assert replayed["outcome"] == "replayed"
    assert stored == (2,)


@pytest.mark.promise("limits", red="turns alone counted")
@pytest.mark.parametrize("limit", ["turns_per_minute", "turns_per_day"])
def test_a_limit_counts_the_turns_of_deleted_conversations(
    stack: Stack, service: Caller, db: psycopg.Connection, account: str, limit: str
) -> None:
    """By their owner or with the service key; a day later they don't count any more."""
    two: Any = {limit: 2}
    with as_user(stack.settings.db_url, account) as user:
        for deleting in (user, service):
            begun = service.begin(account, **two)
            service.complete(begun)
            deleting.call(
                "delete_conversation", user_id=account, conversation_id=begun["conversation"]["id"]
            )
    with pytest.raises(psycopg.Error) as refused:
        service.begin(account, **two)
    db.execute(
        "update private.turn_usage set started_at = now() - interval '1 day' where user_id = %s",
        (account,),
    )
    assert refused.value.sqlstate == "PT429"
    assert service.begin(account, **two)["outcome"] == "started"


@pytest.mark.parametrize("removal", ["deletion", "erasure", "plain delete"])
def test_a_key_outlives_its_conversation(
    service: Caller, db: psycopg.Connection, account: str, removal: str
) -> None:
    """The same request again is not found and brings nothing back; what is kept has no content."""
    asked = {"idempotency_key": "kept", "message_id": str(uuid.uuid4())}
    begun = service.begin(account, **asked)
    service.complete(begun)
    chat = begun["conversation"]["id"]
    removing = {
        "deletion": ("delete_conversation", {"user_id": account, "conversation_id": chat}),
        "erasure": ("erase_account", {"user_id": account, "idempotency_key": "erasure"}),
    }
    if removal in removing:
        function, arguments = removing[removal]
        service.call(function, **arguments)
    else:
        service.connection.execute("delete from public.conversations where id = %s", (chat,))
    other = make_conversation(db, account)
    for conversation_id in (None, chat, other):
        with pytest.raises(psycopg.Error) as refused:
            service.begin(account, **asked, conversation_id=conversation_id)
        assert refused.value.sqlstate == "PT404"
        assert refused.value.diag.message_detail == "conversation_not_found"
    stored = db.execute(
        "select (select count(*) from conversations where user_id = %(id)s),"
        " (select count(*) from turns where user_id = %(id)s),"
        " (select string_agg(u::text, '') like '%%kept%%' from private.turn_usage as u"
        " where user_id = %(id)s)",
        {"id": account},
    ).fetchone()
    assert stored == (1, 0, False)
    assert service.begin(account, idempotency_key="another")["outcome"] == "started"


@pytest.mark.promise("limits", red="`run_unstored` inserts nothing; it removes nothing")
def test_a_limit_counts_what_was_never_stored(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """One kind fills the other's places; what a day has passed over is removed on the way."""
    two: Any = {"turns_per_minute": None, "turns_per_day": 2, "tokens_per_day": None}
    for _ in range(2):
        service.call("count_unstored_turn", user_id=account, **two)
    with pytest.raises(psycopg.Error) as stored:
        service.begin(account, **two)
    with pytest.raises(psycopg.Error) as unstored:
        service.call("count_unstored_turn", user_id=account, **two)
    db.execute(
        "update private.turn_usage set started_at = now() - interval '1 day' where user_id = %s",
        (account,),
    )
    counted = service.call("count_unstored_turn", user_id=account, **two)
    kept = db.execute("select count(*) from private.turn_usage where user_id = %s", (account,))
    assert (stored.value.sqlstate, unstored.value.sqlstate) == ("PT429", "PT429")
    assert counted.keys() == {"id"}
    assert kept.fetchone() == (1,)


def test_of_a_deleted_account_no_turn_is_remembered(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """Neither those of before nor those that go with it."""
    gone = service.begin(account)
    service.complete(gone)
    service.call("delete_conversation", user_id=account, conversation_id=gone["conversation"]["id"])
    service.complete(service.begin(account))
    db.execute("delete from auth.users where id = %s", (account,))
    left = db.execute("select count(*) from private.turn_usage where user_id = %s", (account,))
    assert left.fetchone() == (0,)


def test_a_limit_of_nothing_lets_nothing_begin(service: Caller, account: str) -> None:
    """Zero is a limit, null is none."""
    with pytest.raises(psycopg.Error):
        service.begin(account, turns_per_minute=0)
    assert service.begin(account, turns_per_minute=None)["outcome"] == "started"


def test_a_turn_that_has_left_the_period_makes_room(
    service: Caller, db: psycopg.Connection, account: str
) -> None:
    """The oldest was begun more than a minute ago."""
    service.complete(service.begin(account, turns_per_minute=1))
    db.execute(
        "update turns set started_at = now() - interval '61 seconds' where user_id = %s",
        (account,),
    )
    assert service.begin(account, turns_per_minute=1)["outcome"] == "started"


@pytest.mark.promise("limits")
def test_requests_at_once_do_not_share_the_last_place(
    stack: Stack, db: psycopg.Connection, account: str
) -> None:
    """Twelve at a barrier, five places: five begin."""
    barrier, outcomes = threading.Barrier(12), []
    conversations = [make_conversation(db, account) for _ in range(12)]

    def begin(conversation: str) -> None:
        with as_service(stack.settings.db_url) as caller:
            barrier.wait()
            try:
                begun = caller.begin(account, conversation_id=conversation, turns_per_minute=5)
                outcomes.append(begun["outcome"])
            except psycopg.Error as exc:
                outcomes.append(str(exc.sqlstate))

    threads = [threading.Thread(target=begin, args=(c,)) for c in conversations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["PT429"] * 7 + ["started"] * 5
