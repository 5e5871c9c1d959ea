"""Histories that a process keeps: what the AI is given is what the store would have sent."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.ai.protocol import HistoryMessage
from shared.models.turns import TurnRecord
from shared.turns.context import given_context
from shared.turns.histories import KEPT_SECONDS, Histories
from tests.support.in_memory_store import InMemoryStore

BUDGET = 400
USER = uuid4()


class Process:
    """Begins turns of one store, with histories of its own."""

    def __init__(self, store: InMemoryStore, *, most_bytes: int = 1_000_000) -> None:
        self.store = store
        self.now = 0.0
        self.histories = Histories(most_bytes=most_bytes, clock=lambda: self.now)
        self.sent = 0

    async def turn(
        self,
        conversation_id: UUID | None,
        request: str = "Hello",
        reply: str = "Done.",
        **of: Any,
    ) -> TurnRecord:
        """Take a turn; return it with its whole history."""
        known = self.histories.known(USER, conversation_id)
        record = await self.store.begin_turn(
            user_id=USER, idempotency_key=uuid4().hex, request_hash="hash", request=request,
            message_id=uuid4(), conversation_id=conversation_id, project_id=None, metadata={},
            lease_seconds=60, history_tokens=BUDGET, known_from=known.first if known else None,
            known_id=known.newest_id if known else None,
            known_tokens=known.tokens if known else None, **of,
        )  # fmt: skip
        self.sent = len(record.history)
        whole = self.histories.completed(record, known)
        await self.store.complete_turn(
            user_id=USER, turn_id=record.turn.id, attempt=1, message_id=uuid4(),
            status="completed", content=reply, generated_code=None, metadata={}, error=None,
            tokens=0,
        )  # fmt: skip
        return whole


def given(record: TurnRecord) -> list[HistoryMessage]:
    """Return what the AI is given."""
    return given_context(record.history, record.context).history


async def stored(store: InMemoryStore, record: TurnRecord) -> list[HistoryMessage]:
    """Return what the AI would be given of what is stored."""
    path = store._path_to(store._parents[record.user_message.id])
    context = store._history(path, BUDGET)
    return given_context(context.history, context.context).history


async def test_a_second_turn_is_sent_what_came_since() -> None:
    """The last reply; another user's conversation and a new one share nothing."""
    process = Process(InMemoryStore())
    chat = (await process.turn(None)).conversation.id
    for _ in range(5):
        record = await process.turn(chat)
    assert process.sent == 1
    assert len(given(record)) == 10
    assert process.histories.known(uuid4(), chat) is None
    await process.turn(None)
    assert process.sent == 0


@pytest.mark.promise("context")
@pytest.mark.parametrize("seed", range(20))
async def test_what_is_kept_and_sent_is_what_is_stored(seed: int) -> None:
    """Long messages, other writers, a budget that is passed, deletions, branches, forgetting."""
    rng = random.Random(seed)  # noqa: S311
    store = InMemoryStore()
    processes = [Process(store), Process(store, most_bytes=40_000)]
    chats: list[UUID] = []
    for _ in range(60):
        process = rng.choice(processes)
        process.now += rng.choice([1, 1, 1, KEPT_SECONDS])
        if len(chats) < 2 or rng.random() < 0.1:
            chats.append((await process.turn(None)).conversation.id)
        chat = rng.choice(chats)
        if rng.random() < 0.05:
            chats.remove(chat)
            store.forget_conversation(chat)
            continue
        sizes = [10, 10, 50, 1_500]
        of = {}
        if rng.random() < 0.2:
            rows = [row for row in store.messages[chat] if row.role == "user"]
            of[rng.choice(["edits", "regenerates"])] = rng.choice(rows).id
        record = await process.turn(chat, "x" * rng.choice(sizes), "y" * rng.choice(sizes), **of)
        assert given(record) == await stored(store, record)
        kept = process.histories
        assert kept._size == sum(known.size for known in kept._kept.values())


async def test_a_process_at_rest_forgets_in_time() -> None:
    """Without being asked for anything, each time."""
    process = Process(InMemoryStore())
    process.histories = Histories(clock=asyncio.get_running_loop().time)
    for _ in range(2):
        await process.turn((await process.turn(None)).conversation.id)
        await asyncio.sleep(KEPT_SECONDS / 2)
        await process.turn((await process.turn(None)).conversation.id)
        await asyncio.sleep(2 * KEPT_SECONDS + 1)
        assert not process.histories._kept


async def test_what_is_kept_is_bounded_in_bytes_and_in_time() -> None:
    """What was of use last is kept longest; a process at rest forgets too."""
    process = Process(InMemoryStore(), most_bytes=6_000)
    chats = [(await process.turn(None)).conversation.id for _ in range(6)]
    for chat in chats:
        await process.turn(chat)
    kept = [chat for chat in chats if process.histories.known(USER, chat)]
    assert 1 < len(kept) < 6
    assert kept == chats[-len(kept) :]
    process.now = KEPT_SECONDS
    assert process.histories.known(USER, chats[-1]) is None
    process.histories._forget_in_time()
    assert not process.histories._kept
    assert process.histories._size == 0


async def test_a_conversation_that_was_deleted_and_made_again_is_sent_whole() -> None:
    """Under the id that it had: none of the words of before are given."""
    store = InMemoryStore()
    process = Process(store)
    chat = (await process.turn(None, "Secret")).conversation.id
    await process.turn(chat)
    store.forget_conversation(chat)
    store.add_conversation(USER, None, chat)
    await process.turn(chat, "New")
    record = await process.turn(chat)
    assert [row.content for row in given(record)] == ["New", "Done."]


async def test_places_that_a_repair_closed_up_lose_no_message() -> None:
    """The newest that is kept is the one that was asked about, whatever its place is by now."""
    process = Process(InMemoryStore())
    chat = (await process.turn(None)).conversation.id
    await process.turn(chat)
    record = await process.turn(chat)
    assert record.context is not None
    known = process.histories.known(USER, chat)
    closed_up = record.context.model_copy(update={"known": 3})
    sent = record.model_copy(update={"history": [], "context": closed_up})
    whole = process.histories.completed(sent, known)
    assert [row.seq for row in given(whole)] == [1, 2, 3, 4, 5]
