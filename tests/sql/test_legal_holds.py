"""Legal holds in SQL: what is held is removed by nobody."""

import uuid

import psycopg
import pytest

from tests.support.idle_chats import WHO_DELETES, remove_as, state
from tests.support.sql_calls import Caller, make_account, make_conversation

pytest_plugins = ["tests.support.idle_chats"]


@pytest.mark.promise("legal holds", red="the trigger on `conversations` refuses nothing")
@pytest.mark.parametrize("scope", ["conversation", "user"])
@pytest.mark.parametrize("who", WHO_DELETES)
def test_nobody_removes_what_is_held(
    scratch: psycopg.Connection, service: Caller, owner: str, who: str, scope: str
) -> None:
    """Neither directly nor by deleting the account; once it is released, anybody who may does."""
    conversation = make_conversation(scratch, owner, messages=1)
    named = {"conversation_id": conversation} if scope == "conversation" else {}
    hold = service.call("place_legal_hold", user_id=owner, reason="case", **named)
    for is_released in (False, True):
        if is_released:
            service.call("release_legal_hold", user_id=owner, hold_id=hold["id"])
        try:
            with scratch.transaction():
                remove_as(scratch, who, conversation, owner)
            refusal = None
        except psycopg.Error as error:
            refusal = (error.sqlstate, error.diag.message_detail)
        assert refusal == (None if is_released else ("PT409", "legal_hold"))
        assert state(scratch, conversation) == ["gone" if is_released else "active"]


def test_an_account_with_a_hold_and_nothing_else_can_not_go(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Its hold would go with it; released, it does."""
    hold = service.call("place_legal_hold", reason="case", user_id=owner)
    with pytest.raises(psycopg.Error, match="in force"), scratch.transaction():
        scratch.execute("delete from auth.users where id = %s", (owner,))
    service.call("release_legal_hold", user_id=owner, hold_id=hold["id"])
    scratch.execute("delete from auth.users where id = %s", (owner,))
    assert scratch.execute("select count(*) from private.legal_holds").fetchone() == (0,)


@pytest.mark.promise("legal holds", red="holds of a user without the locks")
def test_a_hold_waits_for_a_removal_that_has_begun(database_url: str) -> None:
    """And then finds nothing to hold: no removal slips through behind a hold that was given."""
    with (
        psycopg.connect(database_url, autocommit=True) as db,
        psycopg.connect(database_url) as deleter,
    ):
        user_id = make_account(db)
        conversation = make_conversation(db, user_id)
        deleter.execute("delete from conversations where id = %s", (conversation,))
        own = {"user_id": user_id, "reason": "case"}
        for named in ({"conversation_id": conversation}, {}):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                Caller(db).call("place_legal_hold", **own, **named)
        deleter.commit()
        with pytest.raises(psycopg.Error) as refusal:
            Caller(db).call("place_legal_hold", **own, conversation_id=conversation)
        assert Caller(db).call("place_legal_hold", **own)["reason"] == "case"
    assert refusal.value.diag.message_detail == "conversation_not_found"


def test_holds_are_listed_by_whether_they_are_in_force(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Several may lie on one conversation; one released keeps its row, and its first moment."""
    conversation = make_conversation(scratch, owner)
    first = service.call(
        "place_legal_hold", user_id=owner, reason="one", conversation_id=conversation
    )
    second = service.call("place_legal_hold", reason="two", user_id=owner)
    ended = service.call("release_legal_hold", user_id=owner, hold_id=first["id"])
    scratch.execute(
        "update private.legal_holds set released_at = '2026-01-01' where id = %s", (first["id"],)
    )
    again = service.call("release_legal_hold", user_id=owner, hold_id=first["id"])
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
