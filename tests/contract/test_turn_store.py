"""What every store of turns does: the one in memory, and each real road to the SQL functions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from local.stack import Stack
from shared.auth.caller import Caller
from shared.errors import (
    ConversationNotFoundError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    MessageNotEditableError,
    MessageNotFoundError,
    TooManyTokensError,
    TooManyTurnsError,
    TurnNotFoundError,
)
from shared.models.turns import ExtendedTurn, TurnExtension, TurnRecord
from shared.turns.store import TurnStore
from tests.support.in_memory_store import InMemoryStore
from tests.support.roads import ROADS, store_by
from tests.support.users import make_user

BUDGET = 1_000


@dataclass(frozen=True)
class Road:
    """A way to a store, and two users who have an account there."""

    store: TurnStore
    owner: Caller
    stranger: Caller
    delete: Callable[[UUID], Awaitable[object]]

    @property
    def user_id(self) -> UUID:
        """Whose turns they are."""
        assert self.owner.user_id is not None
        return self.owner.user_id

    async def begin(self, request: str = "Hello", **changed: Any) -> TurnRecord:
        """Begin a turn, under a key of its own unless one is given."""
        arguments = {
            "user_id": self.user_id,
            "idempotency_key": uuid4().hex,
            "request_hash": "hash",
            "message_id": uuid4(),
            "conversation_id": None,
            "project_id": None,
            "metadata": {},
            "lease_seconds": 60,
            "history_tokens": BUDGET,
        }
        return await self.store.begin_turn(request=request, **{**arguments, **changed})

    async def complete(self, record: TurnRecord, **changed: Any) -> TurnRecord:
        """Complete a turn as the attempt that was begun."""
        arguments = {
            "user_id": self.user_id,
            "turn_id": record.turn.id,
            "attempt": record.turn.attempt,
            "message_id": uuid4(),
            "status": "completed",
            "content": "Done.",
            "generated_code": None,
            "metadata": {"success": True},
            "error": None,
            "tokens": 0,
        }
        return await self.store.complete_turn(**{**arguments, **changed})

    async def extend(
        self,
        record: TurnRecord,
        offset: int = 0,
        text: str = "",
        *,
        lease_seconds: int = 60,
        tokens: int = 0,
    ) -> ExtendedTurn:
        """Send the heartbeat of one turn."""
        extension = TurnExtension(
            user_id=self.user_id,
            turn_id=record.turn.id,
            attempt=record.turn.attempt,
            draft_offset=offset,
            draft_tail=text,
            tokens=tokens,
        )
        extended = await self.store.extend_turns([extension], lease_seconds=lease_seconds)
        (turn,) = extended.turns
        return turn

    async def running(self, record: TurnRecord) -> int:
        """Return how many turns run in the project, by the heartbeat of this one."""
        extension = TurnExtension(
            user_id=self.user_id, turn_id=record.turn.id, attempt=1, draft_offset=0, draft_tail=""
        )
        return (await self.store.extend_turns([extension], lease_seconds=60)).running

    async def load(self, record: TurnRecord) -> TurnRecord:
        """Load a turn as its owner."""
        return await self.store.load_turn(self.user_id, record.turn.id, caller=self.owner)


@pytest.fixture(params=["memory", *ROADS])
async def road(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """Each road in turn."""
    if request.param == "memory":
        memory = InMemoryStore()

        async def forget(conversation_id: UUID) -> None:
            memory.delete_conversation(conversation_id)

        yield Road(memory, Caller(uuid4(), "owner"), Caller(uuid4(), "stranger"), forget)
        return
    stack: Stack = request.getfixturevalue("stack")
    owner, stranger = [await make_user(stack) for _ in range(2)]
    async with store_by(request.param, stack) as store:
        caller = Caller(UUID(owner.id), owner.token)

        async def delete(conversation_id: UUID) -> None:
            await store.delete_conversation(UUID(owner.id), conversation_id, caller=caller)

        yield Road(store, caller, Caller(UUID(stranger.id), stranger.token), delete)
    for user in (owner, stranger):
        await user.functions.aclose()


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


async def test_a_turn_is_watched_from_where_its_draft_was_read_up_to(road: Road) -> None:
    """In characters; where another attempt writes, from its start. Nobody else's is found."""
    record = await road.begin(idempotency_key="k")
    turn_id, watch = record.turn.id, road.store.watch_turn
    await road.extend(record, 0, "é🎉 four", lease_seconds=0)
    for attempt, offset, tail in [
        (1, 0, "é🎉 four"),
        (1, 2, " four"),
        (1, 50, ""),
        (7, 2, "é🎉 four"),
    ]:
        news = await watch(road.user_id, turn_id, attempt=attempt, draft_offset=offset)
        assert (news.draft_tail, news.attempt, news.status) == (tail, 1, "running")
        assert news.is_expired
    await road.complete(await road.begin(idempotency_key="k"))
    news = await watch(road.user_id, turn_id, attempt=1, draft_offset=4)
    assert (news.status, news.attempt, news.draft_tail) == ("completed", 2, "")
    assert not news.is_expired
    stranger = road.stranger.user_id
    assert stranger is not None
    with pytest.raises(TurnNotFoundError):
        await watch(stranger, turn_id, attempt=1, draft_offset=0)


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


async def test_only_so_many_turns_may_begin(road: Road) -> None:
    """What stores nothing counts, and what was deleted; whatever finds a turn doesn't.

    The error says when to come back.
    """
    limits: dict[str, Any] = {
        "turns_per_minute": 2,
        "turns_per_day": None,
        "tokens_per_day": None,
    }
    await road.begin(idempotency_key="k", **limits)
    assert (await road.store.count_unstored_turn(user_id=road.user_id, **limits)).id
    for refused in (
        road.begin(**limits),
        road.store.count_unstored_turn(user_id=road.user_id, **limits),
        road.begin(turns_per_minute=None, turns_per_day=0),
    ):
        with pytest.raises(TooManyTurnsError) as caught:
            await refused
        assert 1 <= (caught.value.retry_after or 0) <= 86_400
    known = await road.begin(idempotency_key="k", **limits)
    assert known.outcome == "in_progress"
    busy = await road.begin(conversation_id=known.conversation.id, **limits)
    assert (busy.outcome, busy.turn.id) == ("in_progress", known.turn.id)
    await road.delete(known.conversation.id)
    with pytest.raises(TooManyTurnsError):
        await road.begin(**limits)
    assert (await road.begin(turns_per_minute=3, turns_per_day=3)).outcome == "started"


@pytest.mark.promise("costs", red="complete_turn leaves tokens as they are")
async def test_no_turn_begins_when_a_days_tokens_are_spent(road: Road) -> None:
    """Those of running, settled and deleted turns, of runs that store nothing, and of summaries."""
    limit: dict[str, Any] = {"tokens_per_day": 100}
    limits = {"turns_per_minute": None, "turns_per_day": None, **limit}
    running, settled, deleted = [await road.begin(**limit) for _ in range(3)]
    await road.extend(running, tokens=20)
    await road.extend(settled, tokens=1_000)
    await road.complete(settled, tokens=30)
    await road.complete(deleted, tokens=10)
    await road.delete(deleted.conversation.id)
    unstored = await road.store.count_unstored_turn(user_id=road.user_id, **limits)
    for turn_id in (unstored.id, settled.turn.id, deleted.turn.id):
        counted = await road.store.add_tokens(road.user_id, turn_id, tokens=13)
        assert counted.is_counted
    assert not (await road.store.add_tokens(road.user_id, uuid4(), tokens=1)).is_counted
    known = await road.begin(idempotency_key="k", **limit)
    await road.complete(known, tokens=1)
    for refused in (
        road.begin(**limit),
        road.store.count_unstored_turn(user_id=road.user_id, **limits),
    ):
        with pytest.raises(TooManyTokensError) as caught:
            await refused
        assert 80_000 < (caught.value.retry_after or 0) <= 86_400
    assert (await road.begin(idempotency_key="k", **limit)).outcome == "replayed"
    assert (await road.begin(tokens_per_day=101)).outcome == "started"


async def test_a_taken_over_turn_says_what_the_attempts_before_took(road: Road) -> None:
    """So that the next worker adds to it, and what nobody settled is counted as far as known."""
    record = await road.begin(idempotency_key="k")
    await road.extend(record, lease_seconds=0, tokens=70)
    taken = await road.begin(idempotency_key="k")
    assert (taken.outcome, taken.turn.tokens) == ("taken_over", 70)


@pytest.mark.parametrize(("size", "first"), [(10, 1), (2_000, 3)])
async def test_a_history_is_the_newest_that_fits(road: Road, size: int, first: int) -> None:
    """Long ones count a quarter of the budget each; how many are left out is said."""
    record = await road.begin("x" * size)
    chat = record.conversation.id
    for _ in range(2):
        await road.complete(record, content="y" * size)
        record = await road.begin("x" * size, conversation_id=chat)
    await road.complete(record, content="y" * size)
    loaded = await road.store.load_history(
        road.user_id, chat, history_tokens=BUDGET, caller=road.owner
    )
    begun = await road.begin(conversation_id=chat)
    assert [row["seq"] for row in loaded.history] == list(range(first, 7))
    assert loaded.context is not None
    assert (loaded.context.omitted, loaded.context.is_whole) == (first - 1, first == 1)
    assert (begun.history, begun.context) == (loaded.history, loaded.context)
    with pytest.raises(ConversationNotFoundError):
        await road.store.load_history(
            road.user_id, uuid4(), history_tokens=BUDGET, caller=road.owner
        )


@pytest.mark.promise("context")
async def test_what_is_known_of_a_history_is_not_sent(road: Road) -> None:
    """Up to a message that is found there, and only if the history would begin in what is known."""
    first = await road.begin("one")
    chat: dict[str, Any] = {"conversation_id": first.conversation.id}
    second_id = (await road.complete(first)).reply.id  # type: ignore[union-attr]
    for known_from, known_id, known in [
        (1, second_id, 2),
        (1, first.user_message.id, 1),
        (2, second_id, 0),
        (1, uuid4(), 0),
        (None, second_id, 0),
        (1, None, 0),
    ]:
        begun = await road.begin(**chat, known_from=known_from, known_id=known_id)
        assert begun.context is not None
        assert (begun.context.known, begun.context.first) == (known, 1)
        sent = [row["seq"] for row in begun.history]
        assert sent == list(range(known + 1, begun.user_message.seq))
        await road.complete(begun)
    edited = await road.begin(**chat)
    await road.complete(edited)
    for known_id, known in ((edited.user_message.id, 0), (second_id, 2)):
        begun = await road.begin(
            **chat, edits=edited.user_message.id, known_from=1, known_id=known_id
        )
        assert begun.context is not None
        assert begun.context.known == known
        assert [row["seq"] for row in begun.history] == list(
            range(known + 1, edited.user_message.seq)
        )
        await road.complete(begun)
    elsewhere = await road.begin()
    await road.complete(elsewhere)
    chat = {"conversation_id": elsewhere.conversation.id}
    begun = await road.begin(**chat, known_from=1, known_id=second_id)
    assert [row["seq"] for row in begun.history] == [1, 2]


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


async def test_an_edit_and_a_regeneration_go_on_from_their_place(road: Road) -> None:
    """Each with the history of its own path; a regenerating turn answers an old message."""
    first = await road.begin("One")
    done = await road.complete(first)
    assert done.reply is not None
    here = {"conversation_id": first.conversation.id}
    edited = await road.begin("Two", **here, edits=first.user_message.id)
    assert (edited.history, edited.user_message.branch, edited.turn.answers) == ([], 1, None)
    await road.complete(edited)
    again = {**here, "regenerates": done.reply.id, "message_id": uuid4(), "idempotency_key": "k"}
    begun = [await road.begin("", **again) for _ in range(2)]
    assert [record.outcome for record in begun] == ["started", "started"]
    assert begun[1].turn.id == begun[0].turn.id
    assert begun[0].turn.answers == begun[0].user_message.id == first.user_message.id
    other = await road.complete(begun[0])
    assert other.reply is not None
    assert (other.user_message, other.reply.seq, other.reply.branch) == (first.user_message, 5, 2)
    more = await road.begin("More", **here)
    assert [row["seq"] for row in more.history] == [1, 5]


async def test_what_is_not_there_or_not_a_users_is_not_edited(road: Road) -> None:
    """Nothing is begun, and the key is free."""
    done = await road.complete(await road.begin())
    assert done.reply is not None
    here: dict[str, Any] = {"conversation_id": done.conversation.id, "idempotency_key": "k"}
    with pytest.raises(MessageNotEditableError):
        await road.begin(**here, edits=done.reply.id)
    with pytest.raises(MessageNotFoundError):
        await road.begin(**here, regenerates=uuid4())
    assert (await road.begin(**here)).outcome == "started"
