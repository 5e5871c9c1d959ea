"""A store that goes away, hangs or loses its answers, and clients that do the like."""

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from shared.errors import ReplyNotStoredError, StoreUnavailableError
from tests.support.engines import FailingEngine, ScriptedEngine, TypingEngine
from tests.support.heart import Process, begin
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import Fault, Held, answer_lost, away, hung, once
from tests.support.waiting import until

PIECES = ["One, ", "two."]


@pytest.mark.promise("store away")
@pytest.mark.parametrize("fault", [away, hung, answer_lost])
async def test_a_reply_that_can_not_be_stored_is_given_away_and_stored_later(fault: Fault) -> None:
    """The error has the reply; the worker stores it once it can, and the AI is asked once."""
    store, engine = InMemoryStore(), ScriptedEngine("Done.")
    process = Process(store, engine)
    store.faults["complete_turn"] = fault
    with pytest.raises(ReplyNotStoredError) as caught:
        await process.ask()
    body = json.loads(json.dumps(caught.value.body()))
    assert body["reply"]["content"] == "Done."
    assert [body["details"]["turnId"]] == [str(turn_id) for turn_id in store.turns]
    await asyncio.sleep(200)  # many leases: heartbeats still go through
    del store.faults["complete_turn"]
    response = await process.ask()
    assert (response.message.content, response.success) == ("Done.", True)
    (turn,) = store.turns.values()
    assert (turn.attempt, len(store.messages[turn.conversation_id])) == (1, 2)
    assert engine.requests == ["Hello"]


@pytest.mark.promise("take-over")
async def test_a_reply_outlives_an_outage_that_is_longer_than_its_lease() -> None:
    """The retry that finds the lease over has the process store what it has, as attempt 2."""
    store, engine = InMemoryStore(), ScriptedEngine("First.", hold=True)
    process = Process(store, engine)
    asking = process.asking()
    await engine.started.wait()
    store.fault = away
    engine.release.set()
    with pytest.raises(ReplyNotStoredError):
        await asking
    await asyncio.sleep(60)
    store.fault = once(away)
    engine.message = "Second."
    with pytest.raises(StoreUnavailableError):
        await process.ask()
    response = await process.ask()
    (turn,) = store.turns.values()
    assert response.message.content == "First."
    assert engine.requests == ["Hello"]
    assert len(store.messages[turn.conversation_id]) == 2


async def test_a_reply_is_kept_for_so_long_and_then_given_up() -> None:
    """The turn runs out of its lease then, and a retry runs the AI again."""
    store, engine = InMemoryStore(), ScriptedEngine()
    process = Process(store, engine, store_retry_seconds=100, retry_wait_seconds=60)
    store.faults["complete_turn"] = away
    with pytest.raises(ReplyNotStoredError):
        await process.ask()
    reading = process.streaming()
    await asyncio.sleep(90)
    assert process.registry.working
    await asyncio.sleep(20)
    assert not process.registry.working
    with pytest.raises(StoreUnavailableError):
        await reading.task
    del store.faults["complete_turn"]
    assert (await process.ask()).success
    assert engine.requests == ["Hello"] * 2
    assert [turn.attempt for turn in store.turns.values()] == [2]


async def test_a_store_that_is_away_at_first_stores_nothing() -> None:
    """The caller learns so, and may come back with the same key."""
    store, engine = InMemoryStore(), ScriptedEngine()
    process = Process(store, engine)
    store.fault = away
    with pytest.raises(StoreUnavailableError):
        await process.ask()
    assert (store.turns, engine.requests, process.registry.working) == ({}, [], frozenset())
    store.fault = once(away)
    with pytest.raises(StoreUnavailableError):
        await process.ask()
    assert not (await process.ask()).replayed


@pytest.mark.promise("one key, one effect", red="it is begun under another id")
@pytest.mark.parametrize(("seconds", "attempt"), [(0, 1), (16, 1), (27, 2)])
async def test_a_begin_whose_answer_is_lost_is_gone_on_with_at_once(
    seconds: float, attempt: int
) -> None:
    """Under the id of the message that was sent: nobody waits for the end of a lease.

    Once that is over, the turn is taken over as any other.
    """
    store, engine = InMemoryStore(), ScriptedEngine()
    process = Process(store, engine)
    store.faults["begin_turn"] = answer_lost
    with pytest.raises(StoreUnavailableError):
        await process.ask()
    del store.faults["begin_turn"]
    assert [turn.status for turn in store.turns.values()] == ["running"]
    await asyncio.sleep(seconds)
    response = await asyncio.wait_for(process.ask(), 1)
    (turn,) = store.turns.values()
    assert (response.replayed, turn.attempt, turn.status) == (False, attempt, "completed")
    assert [row.role for row in store.messages[turn.conversation_id]] == ["user", "assistant"]


async def test_a_complete_whose_answer_is_lost_is_done_once(ends: list[str]) -> None:
    """Asked again under the same id, the store finds that it is done."""
    store = InMemoryStore()
    store.faults["complete_turn"] = once(answer_lost)
    response = await Process(store).ask()
    (turn,) = store.turns.values()
    assert (response.replayed, turn.status) == (False, "completed")
    assert len(store.messages[turn.conversation_id]) == 2
    assert ends == ["completed"]


@pytest.mark.promise("client gone", red="the store is called in the client's own task")
async def test_a_client_that_leaves_while_its_turn_begins_changes_nothing() -> None:
    """Gone between the commit and its answer: the turn is worked on all the same."""
    store, held = InMemoryStore(), Held()
    process = Process(store)
    store.faults["begin_turn"] = held
    asking = process.asking()
    await held.committed.wait()
    asking.cancel()
    await asyncio.wait({asking})
    assert len(process.registry.working) == 1
    held.release.set()
    await process.registry.drain(10)
    assert [turn.status for turn in store.turns.values()] == ["completed"]


@pytest.mark.promise("client gone", red="the store is called in the client's own task")
async def test_a_client_that_leaves_while_its_stream_takes_a_turn_over_changes_nothing() -> None:
    """A stream that waited for the end of a lease takes the turn over, and nobody reads it."""
    store, held = InMemoryStore(), Held()
    record = await begin(store)
    process = Process(store)
    waiting = process.streaming()
    await asyncio.sleep(1)
    store.faults["begin_turn"] = held
    await held.committed.wait()
    await waiting.leave()
    held.release.set()
    await process.registry.drain(10)
    turn = store.turns[record.turn.id]
    assert (turn.status, turn.attempt) == ("completed", 2)


@pytest.mark.promise("client gone", red="an exception that nobody fetches")
@pytest.mark.parametrize(
    "ask", [Process.asking, lambda process: process.following(uuid4()).task], ids=["run", "follow"]
)
async def test_a_call_that_fails_once_its_caller_has_left_is_nobodys_error(
    ask: Callable[[Process], asyncio.Task[Any]],
) -> None:
    """No task is left, no turn, and no exception that nobody has seen."""
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    store = InMemoryStore()
    process = Process(store)
    store.fault = hung
    asking = ask(process)
    await asyncio.sleep(1)
    asking.cancel()
    await asyncio.sleep(10)
    del asking
    gc.collect()
    assert (process.registry.working, store.turns, unseen) == (frozenset(), {}, [])


@pytest.mark.promise("client gone")
async def test_a_client_that_leaves_in_mid_stream_comes_back_to_the_whole_text() -> None:
    """With its key or by the turn's id; its turn has gone on meanwhile."""
    store, engine = InMemoryStore(), TypingEngine(PIECES)
    process = Process(store, engine)
    reading = process.streaming()
    engine.allow(1)
    await until(lambda: reading.text() == PIECES[0])
    await reading.leave()
    back, (turn_id,) = process.streaming(), store.turns
    engine.allow(2)
    follower = process.following(turn_id)
    await asyncio.gather(back.task, follower.task)
    settled = process.streaming()
    await settled.task
    for stream in (back, follower, settled):
        assert stream.events[0].name == "accepted"
        assert stream.text() == "".join(PIECES)
        assert [event.name for event in stream.events[-2:]] == ["message", "done"]
    assert [s.events[-1].data["replayed"] for s in (back, settled)] == [False, True]
    assert [event.is_rest for event in settled.events if event.name == "delta"] == [True]
    assert engine.runs == 1


@pytest.mark.promise("streams")
async def test_a_stream_has_every_event_once_and_in_order() -> None:
    """`done` says how it went, and does not repeat the row that `message` carries."""
    store, engine = InMemoryStore(), TypingEngine(PIECES)
    engine.allow(3)
    stream = Process(store, engine).streaming()
    await stream.task
    (turn,) = store.turns.values()
    assert json.dumps([event.data for event in stream.events])
    names = [event.name for event in stream.events]
    assert [name for name in names if name not in {"status", "delta"}] == [
        "accepted",
        "message",
        "done",
    ]
    statuses = [event.data["status"] for event in stream.events if event.name == "status"]
    assert statuses == ["thinking", "generating", "saving", "idle"]
    assert stream.text() == "".join(PIECES)
    assert turn.reply is not None
    assert stream.events[-2].data == turn.reply.model_dump(mode="json")
    assert stream.events[-1].data == {
        "success": True,
        "conversationId": str(turn.conversation_id),
        "turnId": str(turn.id),
        "replayed": False,
    }


@pytest.mark.promise("streams")
@pytest.mark.parametrize(("written", "text"), [("", ""), ("\n", "\n"), ("Half", "Half")])
async def test_the_sentence_of_a_failed_reply_is_no_part_of_its_text(
    written: str, text: str
) -> None:
    """What was written before is, white space too."""
    stream = Process(InMemoryStore(), FailingEngine(written=written)).streaming()
    await stream.task
    assert stream.text() == text
    assert stream.events[-1].data["success"] is False


async def test_the_reply_is_committed_once_nothing_is_on_its_way_to_listeners() -> None:
    """Or it has had its time: a Realtime that hangs holds a turn up no longer than that."""
    store, engine = InMemoryStore(), TypingEngine(["Hi"])
    process = Process(store, engine)
    process.broadcaster.is_hung = True
    asking = process.asking()
    await until(lambda: bool(process.broadcaster.batches))
    engine.allow(2)
    clock = asyncio.get_running_loop().time
    started = clock()
    await asking
    assert 0.3 < clock() - started <= process.broadcaster.timeout + 0.1
    assert [event["status"] for event in process.broadcaster.says()] == ["thinking"]
