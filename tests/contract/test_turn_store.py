"""What every store of turns does: the one in memory, and each real road to the SQL functions."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from shared.auth.caller import Caller
from shared.errors import (
    ConversationNotFoundError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    TurnNotFoundError,
)
from shared.models.turns import TurnExtension
from tests.support import turn_roads
from tests.support.turn_roads import BUDGET, Road

road = turn_roads.road


@pytest.mark.promise("one reply", red="the store takes a settled turn")
async def test_a_turn_is_begun_and_completed_once(road: Road) -> None:
    """Its two messages follow each other; a known key gives back what is stored."""
    record = await road.begin(idempotency_key="k")
    assert (record.outcome, record.turn.status, record.turn.attempt) == ("started", "running", 1)
    assert (record.user_message.seq, record.user_message.turn_id) == (1, record.turn.id)
    assert (record.reply, record.history) == (None, [])
    running = await road.begin(idempotency_key="k")
    assert (running.outcome, running.turn.id) == ("in_progress", record.turn.id)
    message_id = uuid4()
    done = await road.complete(record, message_id=message_id, content="One.", generated_code="x")
    assert (done.outcome, done.turn.status) == ("completed", "completed")
    assert done.reply is not None
    assert (done.reply.id, done.reply.seq, done.reply.generated_code) == (message_id, 2, "x")
    repeated = await road.complete(record, message_id=message_id, content="Two.")
    assert (repeated.outcome, repeated.reply) == ("completed", done.reply)
    assert (await road.complete(record)).outcome == "superseded"
    again = await road.begin(idempotency_key="k")
    assert (again.outcome, again.reply, again.turn.attempt) == ("replayed", done.reply, 1)
    assert (await road.load(record)).reply == done.reply


@pytest.mark.promise("private keys")
async def test_a_key_belongs_to_one_request_of_one_user(road: Road) -> None:
    """Another request is refused, then and later; another user's turn is another turn."""
    record = await road.begin(idempotency_key="k")
    for _ in range(2):
        with pytest.raises(IdempotencyKeyReusedError):
            await road.begin(idempotency_key="k", request_hash="other")
        await road.complete(record)
    theirs = await road.begin(idempotency_key="k", user_id=road.stranger.user_id)
    assert theirs.turn.id != record.turn.id


async def test_the_same_call_again_is_begun_as_the_first_time(road: Road) -> None:
    """Under the id of its message, for as long as nobody has taken it over."""
    message_id = uuid4()
    same: dict[str, Any] = {"idempotency_key": "k", "message_id": message_id}
    first, second = await road.begin(**same), await road.begin(**same)
    assert (second.outcome, second.turn.id) == ("started", first.turn.id)
    await road.extend(first, lease_seconds=0)
    assert (await road.begin(idempotency_key="k", lease_seconds=0)).turn.attempt == 2
    assert (await road.begin(**same)).outcome == "taken_over"


async def test_of_many_at_once_under_one_key_one_begins(road: Road) -> None:
    """The others find its turn."""
    records = await asyncio.gather(*(road.begin(idempotency_key="k") for _ in range(8)))
    assert sorted(record.outcome for record in records) == ["in_progress"] * 7 + ["started"]
    assert len({record.turn.id for record in records}) == 1


async def test_a_conversation_runs_one_turn_at_a_time(road: Road) -> None:
    """A second one is shown the first; a stranger's or a missing conversation isn't found."""
    first = await road.begin(idempotency_key="one")
    chat: dict[str, Any] = {"conversation_id": first.conversation.id}
    second = await road.begin(**chat)
    assert (second.outcome, second.turn.idempotency_key) == ("in_progress", "one")
    beside = await road.complete(await road.begin())
    again = await road.begin(conversation_id=beside.conversation.id)
    assert again.outcome == "started"
    await road.complete(first)
    third = await road.begin(**chat)
    assert (third.outcome, third.user_message.seq) == ("started", 3)
    for wrong in ({**chat, "user_id": road.stranger.user_id}, {"conversation_id": uuid4()}):
        with pytest.raises(ConversationNotFoundError):
            await road.begin(**wrong)


@pytest.mark.promise("fencing", red="the store lets every attempt complete")
async def test_a_turn_may_open_the_conversation_that_it_names(road: Road) -> None:
    """Under that id, once, and never in the place of somebody else's or of one that is gone."""
    chat: dict[str, Any] = {"conversation_id": uuid4(), "opens_conversation": True}
    first = await road.begin(idempotency_key="one", **chat)
    assert (first.outcome, first.conversation.id) == ("started", chat["conversation_id"])
    assert (await road.begin(idempotency_key="one", **chat)).turn.id == first.turn.id
    await road.complete(first)
    assert (await road.begin(idempotency_key="two", **chat)).user_message.seq == 3
    with pytest.raises(ConversationNotFoundError):
        await road.begin(**chat, user_id=road.stranger.user_id)
    await road.delete(first.conversation.id)
    with pytest.raises(ConversationNotFoundError):
        await road.begin(idempotency_key="one", **chat)
    assert (await road.begin(idempotency_key="three", **chat)).user_message.seq == 1


async def test_of_many_at_once_in_a_new_conversation_one_opens_it(road: Road) -> None:
    """The others' turns have to wait for the first one's."""
    chat: dict[str, Any] = {"conversation_id": uuid4(), "opens_conversation": True}
    records = await asyncio.gather(*(road.begin(**chat) for _ in range(8)))
    assert sorted(record.outcome for record in records) == ["in_progress"] * 7 + ["started"]


async def test_a_turn_whose_lease_is_over_is_taken_over_by_its_key(road: Road) -> None:
    """As the next attempt, with an empty draft; what the older one writes is refused."""
    first = await road.begin(idempotency_key="k")
    await road.extend(first, 0, "Half", lease_seconds=0)
    assert (await road.load(first)).is_expired
    second = await road.begin(idempotency_key="k")
    assert (second.outcome, second.turn.id, second.turn.attempt) == ("taken_over", first.turn.id, 2)
    loaded = await road.load(first)
    assert (loaded.draft, loaded.is_expired, loaded.outcome) == ("", False, "in_progress")
    assert not (await road.extend(first, 0, "Late")).is_ours
    superseded = await road.complete(first)
    assert (superseded.outcome, superseded.reply) == ("superseded", None)
    done = await road.complete(second)
    late = await road.complete(first, content="Late.")
    assert (done.outcome, late.outcome, late.reply) == ("completed", "superseded", done.reply)
    assert not (await road.extend(second)).is_ours


async def test_another_request_settles_a_turn_whose_lease_is_over(road: Road) -> None:
    """What it had written is its reply, and comes before the request."""
    lost = await road.begin()
    await road.extend(lost, 0, "Half", lease_seconds=0)
    following = await road.begin(conversation_id=lost.conversation.id)
    assert (following.outcome, following.user_message.seq) == ("started", 3)
    assert [row["content"] for row in following.history] == ["Hello", "Half"]
    settled = await road.load(lost)
    assert settled.turn.status == "interrupted"
    assert settled.reply is not None
    assert (settled.reply.content, settled.reply.seq) == ("Half", 2)
    assert settled.reply.metadata["error"]["type"] == "interrupted"


@pytest.mark.promise("fencing", red="every heartbeat's draft written as it comes")
async def test_a_heartbeat_renews_the_lease_and_never_shortens_the_draft(road: Road) -> None:
    """Nor leaves a hole in it; offsets count characters."""
    record = await road.begin(lease_seconds=0)
    first = await road.extend(record, 0, "é🎉")
    assert (first.is_ours, first.draft_length) == (True, 2)
    assert first.conversation_id == record.conversation.id
    assert (await road.extend(record, 9, "behind a hole")).draft_length == 2
    assert not (await road.load(record)).is_expired
    for offset, text, draft in [
        (2, "四", "é🎉四"),
        (0, "é", "é🎉四"),
        (1, "🎉四, five", "é🎉四, five"),
        (50, "far", "é🎉四, five"),
        (9, "", "é🎉四, five"),
    ]:
        await road.extend(record, offset, text)
        assert (await road.load(record)).draft == draft


async def test_a_turn_is_followed_from_where_its_draft_was_read_up_to(road: Road) -> None:
    """In characters; where another attempt writes, from its start. Nobody else's is found."""
    record = await road.begin(idempotency_key="k")
    turn_id, follow = record.turn.id, road.store.follow_turn
    await road.extend(record, 0, "é🎉 four", lease_seconds=0)
    for attempt, offset, tail in [
        (1, 0, "é🎉 four"),
        (1, 2, " four"),
        (1, 50, ""),
        (7, 2, "é🎉 four"),
    ]:
        news = await follow(road.user_id, turn_id, attempt=attempt, draft_offset=offset)
        assert (news.draft_tail, news.attempt, news.status) == (tail, 1, "running")
        assert news.is_expired
    await road.complete(await road.begin(idempotency_key="k"))
    news = await follow(road.user_id, turn_id, attempt=1, draft_offset=4)
    assert (news.status, news.attempt, news.draft_tail) == ("completed", 2, "")
    assert not news.is_expired
    stranger = road.stranger.user_id
    assert stranger is not None
    with pytest.raises(TurnNotFoundError):
        await follow(stranger, turn_id, attempt=1, draft_offset=0)


async def test_a_turn_is_loaded_by_its_owner_alone(road: Road) -> None:
    """Somebody else's is not found, nor is one that isn't there; nobody asks in another's name."""
    record = await road.begin()
    assert (await road.load(record)).user_message == record.user_message
    stranger = road.stranger
    assert stranger.user_id is not None
    for user_id, turn_id, caller in (
        (stranger.user_id, record.turn.id, stranger),
        (road.user_id, uuid4(), road.owner),
    ):
        with pytest.raises(TurnNotFoundError):
            await road.store.load_turn(user_id, turn_id, caller=caller)
        with pytest.raises(TurnNotFoundError):
            await road.store.cancel_turn(user_id, turn_id)
    for refused in (
        road.store.load_turn(road.user_id, record.turn.id, caller=stranger),
        road.store.load_history(
            road.user_id, record.conversation.id, history_tokens=BUDGET, caller=stranger
        ),
    ):
        with pytest.raises(ForbiddenError):
            await refused


async def test_a_heartbeat_counts_the_turns_that_run_in_the_project(road: Road) -> None:
    """At least those of one user; others may run beside them."""
    records = [await road.begin() for _ in range(5)]
    assert await road.running(records[0]) >= 5


async def test_the_service_names_the_user_and_finds_nothing_of_anothers(road: Road) -> None:
    """Each verb takes the user first, and acts on that user's rows alone."""
    record = await road.begin(lease_seconds=0)
    other, service = road.stranger.user_id, Caller(None, None)
    assert other is not None
    theirs = TurnExtension(
        user_id=other, turn_id=record.turn.id, attempt=1, draft_offset=0, draft_tail="Not yours"
    )
    (extended,) = (await road.store.extend_turns([theirs], lease_seconds=60)).turns
    assert not extended.is_ours
    assert (await road.store.settle_expired_turn(other, record.conversation.id)).settled == 0
    with pytest.raises(TurnNotFoundError):
        await road.store.load_turn(other, record.turn.id, caller=service)
    for refused in (
        road.complete(record, user_id=other),
        road.store.load_history(
            other, record.conversation.id, history_tokens=BUDGET, caller=service
        ),
    ):
        with pytest.raises(ConversationNotFoundError):
            await refused
    assert (await road.complete(record)).outcome == "completed"


async def test_a_turn_is_asked_to_stop_and_learns_so_at_its_heartbeat(road: Road) -> None:
    """Once it is settled, the request changes nothing."""
    record = await road.begin()
    assert not (await road.extend(record)).cancel_requested
    asked = await road.store.cancel_turn(road.user_id, record.turn.id)
    assert (asked.outcome, asked.turn.status) == ("in_progress", "running")
    assert (await road.extend(record)).cancel_requested
    done = await road.complete(record, status="cancelled")
    again = await road.store.cancel_turn(road.user_id, record.turn.id)
    assert (again.outcome, again.turn.status, again.reply) == ("replayed", "cancelled", done.reply)


@pytest.mark.promise("take-over", red="stopped turns are taken over")
@pytest.mark.parametrize("first", ["cancel", "lease"])
async def test_a_turn_that_was_to_stop_is_never_taken_over(road: Road, first: str) -> None:
    """Whether its lease was over before or after: what it had written is its reply."""
    record = await road.begin(idempotency_key="k")
    await road.extend(record, 0, "Half", lease_seconds=60 if first == "cancel" else 0)
    asked = await road.store.cancel_turn(road.user_id, record.turn.id)
    assert asked.turn.status == ("running" if first == "cancel" else "cancelled")
    await road.extend(record, 0, "Half", lease_seconds=0)
    found = await road.begin(idempotency_key="k")
    assert (found.outcome, found.turn.status, found.turn.attempt) == ("replayed", "cancelled", 1)
    assert found.reply is not None
    assert found.reply.content == "Half"
    assert found.reply.metadata["error"]["type"] == "cancelled"


async def test_only_a_turn_whose_lease_is_over_is_settled(road: Road) -> None:
    """Once; where it had written nothing, a sentence says what happened."""
    record = await road.begin()
    place = (road.user_id, record.conversation.id)
    assert (await road.store.settle_expired_turn(*place)).settled == 0
    await road.extend(record, lease_seconds=0)
    assert [(await road.store.settle_expired_turn(*place)).settled for _ in range(2)] == [1, 0]
    settled = await road.load(record)
    assert settled.reply is not None
    assert settled.reply.content == settled.reply.metadata["error"]["message"]
    assert (await road.complete(record)).outcome == "superseded"


async def test_of_a_deleted_conversation_nothing_can_be_completed(road: Road) -> None:
    """Its worker finds out when it stores the reply, or at its heartbeat."""
    record = await road.begin()
    await road.delete(record.conversation.id)
    assert not (await road.extend(record)).is_ours
    with pytest.raises(ConversationNotFoundError):
        await road.complete(record)
    with pytest.raises(TurnNotFoundError):
        await road.load(record)


@pytest.mark.promise("one key, one effect", red="the keys of deleted conversations are forgotten")
async def test_a_key_outlives_its_conversation(road: Road) -> None:
    """Whatever is asked under it is not found and stores nothing; another user's key is another."""
    await road.delete((await road.begin(idempotency_key="k")).conversation.id)
    kept = await road.begin(idempotency_key="kept", lease_seconds=0)
    await road.extend(kept, 0, "Half", lease_seconds=0)
    for changed in (
        {},
        {"request_hash": "other"},
        {"turns_per_day": 0},
        {"conversation_id": kept.conversation.id},
    ):
        with pytest.raises(ConversationNotFoundError):
            await road.begin(idempotency_key="k", **changed)
    assert (await road.load(kept)).reply is None
    assert (await road.complete(kept)).outcome == "completed"
    theirs = await road.begin(idempotency_key="k", user_id=road.stranger.user_id)
    assert theirs.outcome == "started"
