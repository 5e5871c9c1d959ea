"""A turn of another process: read once, whoever and however many follow it here."""

import asyncio
from uuid import UUID, uuid4

import pytest

from shared.auth.caller import Caller
from shared.errors import StoreUnavailableError, TurnNotFoundError
from shared.turns.follow import START
from shared.turns.followed import POLL_SECONDS
from tests.support.engines import ScriptedEngine
from tests.support.heart import USER, Process, begin
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import away
from tests.support.waiting import until

FOLLOWERS = 50


async def a_running_turn(store: InMemoryStore, draft: str = "") -> UUID:
    """Begin a turn that another process works on."""
    record = await begin(store, lease_seconds=3_600)
    store.turns[record.turn.id].draft = draft
    return record.turn.id


async def test_followers_cost_the_store_what_one_does() -> None:
    """One whole reading, then only what is new, and the settled turn once more."""
    store = InMemoryStore()
    turn_id = await a_running_turn(store, "Half")
    process = Process(store)
    readings = [process.following(turn_id) for _ in range(FOLLOWERS)]
    await asyncio.sleep(10 * POLL_SECONDS)
    await readings.pop().leave()
    later = process.following(turn_id)
    await asyncio.sleep(0)
    assert store.calls["load_turn"] == 1
    assert store.calls["follow_turn"] <= 10
    turn = store.turns[turn_id]
    turn.draft = "Half an answer"
    await asyncio.sleep(2 * POLL_SECONDS)
    store._settle(
        turn, "completed", id=turn_id, content="Half an answer.", metadata={"success": True}
    )
    await asyncio.gather(*(reading.task for reading in [*readings, later]))
    assert {reading.text() for reading in [*readings, later]} == {"Half an answer."}
    assert store.calls["load_turn"] == 2
    assert store.calls["follow_turn"] <= 14


async def test_only_what_is_new_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft from where it was read up to; all of it where another attempt writes."""
    store, tails = InMemoryStore(), list[str]()
    turn_id = await a_running_turn(store, "One")
    follow_turn = store.follow_turn

    async def followed(*args: object, **more: object) -> object:
        news = await follow_turn(*args, **more)  # type: ignore[arg-type]
        tails.append(news.draft_tail)
        return news

    monkeypatch.setattr(store, "follow_turn", followed)
    reading = Process(store).following(turn_id)
    turn = store.turns[turn_id]
    for draft, attempt in [("One two", 1), ("Another", 2)]:
        await asyncio.sleep(1.5 * POLL_SECONDS)
        turn.draft, turn.attempt = draft, attempt
        await until(lambda draft=draft: reading.text() == draft)  # type: ignore[misc]
    await reading.leave()
    assert [tail for tail in tails if tail] == [" two", "Another"]
    assert reading.attempts() == [1, 2]


async def test_nothing_is_read_once_nobody_follows() -> None:
    """Until then it is read for whoever stays; who comes later begins with a whole reading."""
    store = InMemoryStore()
    turn_id = await a_running_turn(store)
    process = Process(store)
    for whole in (1, 2):
        for reading in [process.following(turn_id) for _ in range(3)]:
            calls = store.calls["follow_turn"]
            await asyncio.sleep(2.5 * POLL_SECONDS)
            assert store.calls["follow_turn"] >= calls + 2
            await reading.leave()
        calls = store.calls.total()
        await asyncio.sleep(100)
        assert store.calls.total() == calls
        assert store.calls["load_turn"] == whole


async def test_a_turn_that_is_followed_here_is_its_owners_alone() -> None:
    """Nobody else finds it, whoever reads it already."""
    store = InMemoryStore()
    turn_id = await a_running_turn(store)
    process = Process(store)
    reading = process.following(turn_id)
    await asyncio.sleep(POLL_SECONDS)
    with pytest.raises(TurnNotFoundError):
        await process.runner.follow(uuid4(), turn_id, caller=Caller(None, None), place=START)
    await reading.leave()


async def test_what_keeps_a_turn_from_being_read_is_said_to_all() -> None:
    """Also to who reads slowly; those who come back have it read from its start."""
    store = InMemoryStore()
    turn_id = await a_running_turn(store)
    process = Process(store)
    slow = await process.runner.follow(USER, turn_id, caller=Caller(USER, "token"), place=START)
    await anext(slow)
    readings = [process.following(turn_id) for _ in range(3)]
    await asyncio.sleep(POLL_SECONDS / 2)
    store.faults["follow_turn"] = away
    for reading in readings:
        with pytest.raises(StoreUnavailableError):
            await reading.task
    del store.faults["follow_turn"]
    again = process.following(turn_id)
    await asyncio.sleep(3 * POLL_SECONDS)
    assert not again.task.done()
    with pytest.raises(StoreUnavailableError):
        await anext(slow)
    loads, later = store.calls["load_turn"], process.following(turn_id)
    await asyncio.sleep(POLL_SECONDS)
    assert store.calls["load_turn"] == loads
    await later.leave()
    store.forget_conversation(next(iter(store.messages)))
    with pytest.raises(TurnNotFoundError):
        await again.task


async def test_a_turn_without_a_worker_is_settled_once_for_all_followers() -> None:
    """Not by each of them."""
    store = InMemoryStore()
    turn_id = await a_running_turn(store, "Half")
    process = Process(store)
    readings = [process.following(turn_id) for _ in range(FOLLOWERS)]
    await asyncio.sleep(2 * POLL_SECONDS)
    store.turns[turn_id].lease_until = 0
    await asyncio.gather(*(reading.task for reading in readings))
    assert store.calls["settle_expired_turn"] == 1
    assert {reading.text() for reading in readings} == {"Half"}


async def test_retries_that_wait_for_another_process_read_it_once() -> None:
    """Each of them is answered by the stored reply."""
    store, engine = InMemoryStore(), ScriptedEngine("Once.", hold=True)
    first = Process(store, engine).asking()
    await engine.started.wait()
    other = Process(store)
    retries = [other.asking() for _ in range(10)]
    await asyncio.sleep(4 * POLL_SECONDS)
    assert store.calls["follow_turn"] <= 5
    engine.release.set()
    answers = await asyncio.gather(first, *retries)
    assert {answer.message.content for answer in answers} == {"Once."}
    assert store.calls["load_turn"] <= 1
