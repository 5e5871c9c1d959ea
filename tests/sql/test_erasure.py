"""Erasure in SQL, and what goes with a conversation that is deleted."""

import psycopg
import pytest

from tests.support.idle_chats import WHO_DELETES, as_if_long, remove_as, state
from tests.support.sql_calls import Caller, make_account, make_conversation

pytest_plugins = ["tests.support.idle_chats"]


@pytest.mark.promise("erasure", red="a receipt that is done is gone on with")
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


@pytest.mark.promise("retention")
def test_a_batch_of_an_erasure_is_bounded_in_messages_too(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """The one that passes the bound is its last; none is emptied before all of them are hidden."""
    as_if_long(scratch, *(make_conversation(scratch, owner) for _ in range(5)))
    own = {"user_id": owner, "idempotency_key": "key"}
    seen = [service.call("erase_account", **own) for _ in range(3)]
    assert [(row["conversations"], row["remaining"]) for row in seen] == [(2, 5), (4, 5), (5, 0)]
    assert [row["erased_at"] is None for row in seen] == [True, True, False]


def test_an_erasure_leaves_what_is_held_and_says_so(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """A hold on the user refuses all of it, and leaves no receipt."""
    held, free = (make_conversation(scratch, owner, messages=1) for _ in range(2))
    service.call("place_legal_hold", user_id=owner, reason="case", conversation_id=held)
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


@pytest.mark.promise("erasure", red="live events stay")
@pytest.mark.parametrize("who", WHO_DELETES)
def test_live_events_are_emptied_with_their_conversation(
    scratch: psycopg.Connection, service: Caller, owner: str, who: str
) -> None:
    """Whoever deletes it; those of others stay."""
    topics = []
    for user_id in (owner, make_account(scratch)):
        begun = service.begin(user_id)
        service.complete(begun)
        topics.append(f"conversation:{begun['conversation']['id']}")
    remove_as(scratch, who, topics[0].partition(":")[2], owner)
    assert with_content(scratch) == {topics[1]}


def test_events_of_an_import_by_a_clock_that_was_ahead_are_emptied(
    scratch: psycopg.Connection, owner: str
) -> None:
    """The conversation is younger than its events then."""
    conversation = make_conversation(scratch, owner, messages=1)
    scratch.execute(
        "update conversations set created_at = now() + interval '5 minutes' where id = %s",
        (conversation,),
    )
    scratch.execute("delete from conversations where id = %s", (conversation,))
    assert with_content(scratch) == set()


@pytest.mark.promise("retention")
def test_events_that_may_not_be_emptied_hold_nothing_up(
    scratch: psycopg.Connection, owner: str
) -> None:
    """Where the project's owner has no right to them, the conversation goes all the same."""
    conversation = make_conversation(scratch, owner, messages=1)
    scratch.execute("create role powerless; grant usage on schema realtime to powerless")
    scratch.execute("grant select on conversations to powerless")
    scratch.execute("alter function private.forget_events() owner to powerless")
    scratch.execute("delete from conversations where id = %s", (conversation,))
    assert state(scratch, conversation) == ["gone"]
    assert with_content(scratch) == {f"conversation:{conversation}"}


@pytest.mark.promise("retention", red="a cancelled statement not caught")
def test_events_that_take_too_long_to_empty_hold_nothing_up(
    scratch: psycopg.Connection, owner: str
) -> None:
    """Cancelled, as by a limit on time: the conversation goes all the same."""
    conversation = make_conversation(scratch, owner, messages=1)
    scratch.execute(
        "create function cancel() returns trigger language plpgsql as"
        " 'begin raise exception using errcode = ''query_canceled''; end';"
        "create trigger cancel before update on realtime.messages"
        " for each row execute function cancel()"
    )
    scratch.execute("delete from conversations where id = %s", (conversation,))
    assert state(scratch, conversation) == ["gone"]


def with_content(db: psycopg.Connection) -> set[str]:
    """Return the topics of live events that say anything, if only what they are about."""
    rows = db.execute(
        "select topic from realtime.messages where payload <> '{}' or topic like 'conversation:%'"
    ).fetchall()
    return {topic for (topic,) in rows}
