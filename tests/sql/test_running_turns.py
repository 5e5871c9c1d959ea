"""extend_turns, cancel_turn, the sweep and the limits of begin_turn, as the backend's role."""

import uuid
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local.stack import Stack
from tests.support import partitions, sql_fixtures
from tests.support.postgres import Server
from tests.support.scratch import MIGRATED
from tests.support.sql_calls import (
    Caller,
    expire,
    make_account,
    make_conversation,
)

stack = partitions.stack  # as it is, and in partitions
service, account = sql_fixtures.service, sql_fixtures.owner


def extension_of(begun: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return the heartbeat of a turn, as begin_turn answered it."""
    turn = {"user_id": begun["turn"]["user_id"], "turn_id": begun["turn"]["id"]}
    turn["attempt"] = begun["turn"]["attempt"]
    return {**turn, "draft_offset": 0, "draft_tail": "", **changed}


def extend_all(service: Caller, *each: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Send these heartbeats in one call; return what each turn is answered, by its id."""
    answer = service.call("extend_turns", extensions=Jsonb(list(each)), lease_seconds=60)
    return {turn.pop("turn_id"): turn for turn in answer["turns"]}


def flags(answers: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
    """Return of each turn whether it is the caller's, and whether it is to stop."""
    return {
        turn: (answer["is_ours"], answer["cancel_requested"]) for turn, answer in answers.items()
    }


def extend(service: Caller, begun: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Send one turn's heartbeat."""
    return extend_all(service, extension_of(begun, **changed))[begun["turn"]["id"]]


def draft(db: psycopg.Connection, begun: dict[str, Any]) -> str:
    """Return a turn's draft."""
    row = db.execute("select draft from turns where id = %s", (begun["turn"]["id"],)).fetchone()
    assert row is not None
    return str(row[0])


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
    assert flags(answers) == {
        mine["turn"]["id"]: (True, False),
        stopped["turn"]["id"]: (True, True),
        lost["turn"]["id"]: (False, False),
        gone["turn_id"]: (False, False),
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
    assert flags(answers) == {free["turn"]["id"]: (True, False)}
    assert [draft(db, turn) for turn in (held, free)] == ["", "y"]
    assert extend(service, held, draft_tail="x")["is_ours"] is True


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


def test_a_sweep_settles_the_turns_of_all_users(bare_server: Server) -> None:
    """What pg_cron calls: of those that are listed each is settled, and a living one is not.

    In a database of its own: elsewhere it would settle what other tests wait for.
    """
    with bare_server.database(MIGRATED) as url, psycopg.connect(url, autocommit=True) as db:
        service = Caller(db)
        account = make_account(db)
        lost = [service.begin(user_id) for user_id in (account, make_account(db))]
        living = service.begin(account)
        for begun in lost:
            expire(db, begun)
        listed = service.call("list_expired_turns")["turns"]
        db.execute("call private.sweep('sweep-turns', 30)")
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
