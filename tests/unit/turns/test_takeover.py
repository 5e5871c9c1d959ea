"""Who has a turn: leases that are kept or run out, attempts that take over, workers that lost."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.ai.protocol import EngineEvent, EngineRequest
from shared.auth.caller import Caller
from shared.encoding.storable import unescape
from shared.errors import TurnInProgressError, TurnNotFoundError, UnavailableError
from shared.turns.follow import START, Place
from shared.turns.followed import POLL_SECONDS
from tests.support.engines import HangingEngine, ScriptedEngine, TypingEngine
from tests.support.heart import USER, Process, Reading, begin
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import Held, away
from tests.support.waiting import until


class SlowToClose(HangingEngine):
    """Takes its time to close."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.closed = False

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Hang, and close slowly."""
        try:
            async for event in super().run(asked):
                yield event
        finally:
            await asyncio.sleep(self.seconds)
            self.closed = True


PIECES = ["One, ", "two, ", "três, ", "四 🎉."]


@pytest.mark.promise("take-over", red="leases are not renewed")
async def test_a_turn_that_is_worked_on_is_never_taken_over() -> None:
    """However much longer than a lease the AI takes: heartbeats keep it, in one round each."""
    store, engine = InMemoryStore(), ScriptedEngine("Late.", hold=True)
    here, there = Process(store, engine), Process(store, retry_wait_seconds=600)
    asking, retrying = here.asking(), there.asking()
    await asyncio.sleep(200)
    engine.release.set()
    assert (await retrying).message == (await asking).message
    assert [turn.attempt for turn in store.turns.values()] == [1]
    assert engine.requests == ["Hello"]


@pytest.mark.promise("take-over")
async def test_another_process_takes_over_where_a_worker_died() -> None:
    """The retry waits for the end of the lease, then runs the turn as the next attempt."""
    store = InMemoryStore()
    dead = Process(store, HangingEngine())
    _, turn = await dead.begun()
    await asyncio.sleep(3)
    dead.die()
    clock = asyncio.get_running_loop().time
    started = clock()
    response = await Process(store, retry_wait_seconds=60).ask()
    assert 20 < clock() - started < 27
    assert (response.replayed, turn.attempt, turn.status) == (False, 2, "completed")
    assert "persistedAfter" not in response.message.metadata
    assert [row.role for row in store.messages[turn.conversation_id]] == ["user", "assistant"]


@pytest.mark.promise("fencing")
async def test_a_worker_that_lost_its_turn_writes_nothing(ends: list[str]) -> None:
    """It learns so from the store, however late: its caller gets the other one's reply."""
    store, slow = InMemoryStore(), ScriptedEngine("Too late.", hold=True)
    sleeper = Process(store, slow, heartbeat_seconds=5)
    sleeping, turn = await sleeper.begun()
    turn.lease_until = 0
    other = await Process(store, ScriptedEngine("In time.")).ask()
    slow.release.set()
    response = await sleeping
    assert response.message == other.message
    assert response.replayed
    assert (turn.attempt, turn.status, turn.reply) == (2, "completed", other.message)
    assert len(store.messages[turn.conversation_id]) == 2
    assert ends == ["completed", "lost"]


@pytest.mark.promise("fencing", red="the store lets every attempt complete")
async def test_a_worker_that_lost_its_turn_writes_nothing_while_the_next_one_works() -> None:
    """The turn is the later attempt's, from before it has a reply: its caller gets that one."""
    store, slow, quick = InMemoryStore(), ScriptedEngine("Late.", hold=True), ScriptedEngine()
    sleeping, turn = await Process(store, slow, heartbeat_seconds=5).begun()
    turn.lease_until = 0
    quick.release.clear()
    retrying = Process(store, quick).asking()
    await quick.started.wait()
    slow.release.set()
    with pytest.raises(TurnInProgressError):
        await sleeping
    assert (turn.attempt, turn.status, turn.reply) == (2, "running", None)
    quick.release.set()
    assert (await retrying).message.content == "Done."


@pytest.mark.promise("take-over", red="a worker that has lost the turn is handed it again")
async def test_a_worker_that_has_lost_its_turn_is_not_given_it_again() -> None:
    """While it ends, a retry takes the turn over here: another worker runs it, and keeps it."""
    store, engine = InMemoryStore(), ScriptedEngine(hold=True)
    process = Process(store, engine)
    losing, turn = await process.begun()
    store.faults["load_turn"] = ending = Held()
    turn.attempt, turn.lease_until = 2, 0  # of a process that took it over and died
    await ending.committed.wait()
    retrying = process.asking()
    await until(lambda: len(engine.requests) == 2)
    ending.release.set()
    with pytest.raises(TurnInProgressError):
        await losing
    await asyncio.sleep(200)
    assert not turn.is_expired
    engine.release.set()
    response = await asyncio.wait_for(retrying, 1)
    assert (response.replayed, turn.attempt, turn.status) == (False, 3, "completed")


@pytest.mark.promise("take-over", red="its reply is not handed on")
async def test_a_worker_that_was_refused_hands_its_reply_to_the_next_one_here() -> None:
    """A retry that comes while it ends takes the turn over: the AI is not asked again."""
    store, engine = InMemoryStore(), ScriptedEngine("First.", hold=True)
    process = Process(store, engine, heartbeat_seconds=5)
    losing, turn = await process.begun()
    store.faults["load_turn"] = ending = Held()
    turn.attempt, turn.lease_until = 2, 0  # of a process that took it over and died
    engine.release.set()
    await ending.committed.wait()
    response = await asyncio.wait_for(process.ask(), 1)
    ending.release.set()
    with pytest.raises(TurnInProgressError):
        await losing
    assert (response.message.content, turn.attempt, turn.status) == ("First.", 3, "completed")
    assert engine.requests == ["Hello"]


async def test_a_worker_that_learns_of_its_loss_stops_the_ai() -> None:
    """Before the AI is done: at the next heartbeat, whose answer says that the turn is lost."""
    store = InMemoryStore()
    sleeper = Process(store, HangingEngine())
    sleeping, streaming = sleeper.asking(), sleeper.streaming()
    await until(lambda: bool(streaming.events))
    (turn,) = store.turns.values()
    turn.lease_until, engine = 0, ScriptedEngine(hold=True)
    retrying = Process(store, engine).asking()
    for losing in (sleeping, streaming.task):
        with pytest.raises(TurnInProgressError):
            await asyncio.wait_for(losing, 2)
    await asyncio.sleep(1)
    assert not sleeper.registry.working
    engine.release.set()
    assert (await retrying).success


async def test_a_turn_whose_conversation_is_deleted_is_not_there_any_more() -> None:
    """Its worker learns so at the next heartbeat, and stops the AI."""
    store = InMemoryStore()
    process = Process(store, HangingEngine())
    asking, _ = await process.begun()
    store.forget_conversation(next(iter(store.messages)))
    with pytest.raises(TurnNotFoundError):
        await asyncio.wait_for(asking, 2)
    await asyncio.sleep(1)
    assert not process.registry.working


@pytest.mark.promise("take-over", red="adopted without its new attempt")
async def test_a_process_adopts_the_turn_that_it_still_works_on() -> None:
    """The AI runs once; readers here read on, and the store has the draft from its start."""
    store, engine = InMemoryStore(), TypingEngine(PIECES)
    process = Process(store, engine)
    reading = process.streaming()
    engine.allow(1)
    await asyncio.sleep(2)
    (turn,) = store.turns.values()
    assert turn.draft == process.broadcaster.says()[-1]["text"] == PIECES[0]
    store.faults["extend_turns"], turn.lease_until = away, 0
    retrying = process.asking()
    await until(lambda: turn.attempt == 2)
    assert turn.draft == ""
    del store.faults["extend_turns"]
    engine.allow(1)
    await asyncio.sleep(2)
    assert turn.draft == PIECES[0] + PIECES[1]
    engine.allow(3)
    response = await retrying
    await reading.task
    assert response.message.content == reading.text() == "".join(PIECES)
    assert (reading.attempts(), turn.attempt, engine.runs) == ([1], 2, 1)
    assert not store.calls["follow_turn"]  # the retry follows it here
    later = [event for event in process.broadcaster.says() if event["attempt"] == 2]
    assert [event["status"] for event in later if "status" in event] == ["thinking", "generating"]
    live = "".join(event.get("text", "") for event in later)
    assert live.startswith(PIECES[0] + PIECES[1])
    assert "".join(PIECES).startswith(live)
    assert [event.get("offset") for event in later][2] == 0


@pytest.mark.promise("take-over", red="a refused attempt has lost, adopted or not")
async def test_a_reply_that_was_refused_as_the_attempt_before_is_stored_as_the_adopted_one() -> (
    None
):
    """The store had begun the next attempt for this process, whose answer came a moment later."""
    store, engine = InMemoryStore(), ScriptedEngine(hold=True)
    process = Process(store, engine, heartbeat_seconds=5)
    asking, turn = await process.begun()
    turn.lease_until = 0
    store.faults["begin_turn"], store.faults["complete_turn"] = begins, completes = Held(), Held()
    retrying = process.asking()
    await begins.committed.wait()
    engine.release.set()
    await completes.committed.wait()
    begins.release.set()
    await asyncio.sleep(0.1)
    completes.release.set()
    assert (await asking).message == (await retrying).message == turn.reply
    assert (turn.attempt, engine.requests) == (2, ["Hello"])


@pytest.mark.promise("take-over")
async def test_a_stream_elsewhere_goes_on_across_a_take_over() -> None:
    """It reads what the store has; where another attempt writes, from 0 under its number."""
    store, engine = InMemoryStore(), TypingEngine(PIECES)
    dead, here, there = (Process(store, engine) for _ in range(3))
    _, turn = await dead.begun()
    engine.allow(2)
    await asyncio.sleep(2)
    waiting = there.streaming()
    await asyncio.sleep(POLL_SECONDS / 2)
    following = here.following(turn.id)
    await asyncio.sleep(8.2 * POLL_SECONDS)  # so that the one with the key looks next
    assert following.text() == waiting.text() == PIECES[0] + PIECES[1]
    dead.die()
    turn.lease_until = 0
    await until(lambda: turn.attempt == 2, seconds=POLL_SECONDS)
    engine.allow(1)
    await asyncio.sleep(2)
    assert following.text() == waiting.text() == PIECES[0]
    assert following.attempts() == waiting.attempts() == [1, 2]
    engine.allow(len(PIECES))
    await asyncio.gather(following.task, waiting.task)
    assert turn.reply is not None
    for reading in (following, waiting):
        assert reading.events[-2].data["content"] == turn.reply.content
        assert reading.text() == turn.reply.content


async def test_a_stream_whose_worker_has_lost_ends_with_the_other_ones_reply() -> None:
    """From its start, under that attempt: what was written here is no part of it."""
    store, engine = InMemoryStore(), TypingEngine(PIECES)
    reading = Process(store, engine, heartbeat_seconds=5).streaming()
    engine.allow(1)
    await until(lambda: reading.text() == PIECES[0])
    (turn,) = store.turns.values()
    turn.lease_until = 0
    await Process(store, ScriptedEngine("In time.")).ask()
    await reading.task
    assert (reading.text(), reading.attempts()) == ("In time.", [1, 2])


async def test_a_follower_of_a_stored_turn_settles_it_where_its_worker_is_gone() -> None:
    """Nobody retries it: what was written so far becomes the reply."""
    store = InMemoryStore()
    record = await begin(store)
    store.turns[record.turn.id].draft = "Half an ans"
    following = Process(store).following(record.turn.id)
    await following.task
    assert following.text() == "Half an ans"
    assert [event.name for event in following.events[-2:]] == ["message", "done"]
    assert following.events[-1].data["success"] is False
    assert store.turns[record.turn.id].status == "interrupted"


@pytest.mark.promise("take-over")
async def test_a_follower_may_take_a_turn_over_where_its_worker_is_gone() -> None:
    """Without its request: what was asked, and with what, is in the store."""
    store, engine = InMemoryStore(), ScriptedEngine("Again.")
    metadata = {"mine": 1, "projectId": None}
    record = await begin(store, metadata=metadata)
    process = Process(store, engine)
    caller = Caller(USER, "token")
    following = Reading(
        process.runner.follow(
            USER, record.turn.id, caller=caller, place=START, takes_over=lambda _: True
        )
    )
    await following.task
    assert (following.text(), following.attempts()) == ("Again.", [1, 2])
    assert engine.requests == ["Hello"]
    reply = (await process.ask()).message
    assert (reply.metadata["mine"], "projectId" in reply.metadata) == (1, False)
    assert len(store.messages) == 1


async def test_a_follower_does_not_wait_for_ever() -> None:
    """No longer than a turn may take: then it is unavailable, and may be followed again."""
    store = InMemoryStore()
    record = await begin(store, lease_seconds=3_600)
    following = Process(store, engine_timeout=100).following(record.turn.id)
    with pytest.raises(UnavailableError):
        await following.task
    assert [event.name for event in following.events] == ["accepted"]


@pytest.mark.promise("no oracle")
async def test_a_turn_can_be_followed_from_any_place_by_its_owner() -> None:
    """Here, elsewhere and once it is settled; somebody else's is not found."""
    store, engine = InMemoryStore(), TypingEngine(PIECES)
    here, there = Process(store, engine), Process(store)
    asking = here.asking()
    engine.allow(2)
    await asyncio.sleep(2)
    (turn_id,) = store.turns
    for process in (here, there):
        with pytest.raises(TurnNotFoundError):
            await process.runner.follow(uuid4(), turn_id, caller=Caller(None, None), place=START)
    assert store.calls["load_turn"] == 2  # as for one that isn't there: no answer is quicker
    place = Place(3, 1)
    readings = [process.following(turn_id, place) for process in (here, there)]
    fresh = here.following(turn_id, Place(3, 7))
    beyond = here.following(turn_id, Place(50))
    await asyncio.sleep(1)
    engine.allow(3)
    await asking
    readings.append(here.following(turn_id, place))
    await asyncio.gather(fresh.task, beyond.task, *(reading.task for reading in readings))
    for reading in readings:
        deltas = [event.data for event in reading.events if event.name == "delta"]
        assert (deltas[0]["offset"], "".join(d["text"] for d in deltas)) == (3, "".join(PIECES)[3:])
        assert reading.events[-1].data["replayed"] is (reading is not readings[0])
    assert fresh.text() == "".join(PIECES)
    written = len(PIECES[0] + PIECES[1])
    assert beyond.events[0].data["offset"] == written
    deltas = [event.data for event in beyond.events if event.name == "delta"]
    assert "".join(delta["text"] for delta in deltas) == "".join(PIECES)[written:]
    assert deltas[0]["offset"] == written


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_turn_is_stopped_here_at_once_and_elsewhere_at_its_next_heartbeat(
    *, elsewhere: bool
) -> None:
    """What was written is the reply; the turn is cancelled for good."""
    store, engine = InMemoryStore(), TypingEngine(PIECES)
    here, there = Process(store, engine), Process(store)
    asking = here.asking()
    engine.allow(2)
    await asyncio.sleep(2.5)
    (turn_id,) = store.turns
    with pytest.raises(TurnNotFoundError):
        await here.runner.cancel(uuid4(), turn_id)
    clock = asyncio.get_running_loop().time
    asked = clock()
    record = await (there if elsewhere else here).runner.cancel(USER, turn_id)
    assert clock() - asked < 0.1
    assert record.turn.status == ("running" if elsewhere else "cancelled")
    response = await asyncio.wait_for(asking, 1)
    assert response.message.content == PIECES[0] + PIECES[1]
    assert response.message.metadata["error"]["type"] == "cancelled"
    for process in (here, there):
        assert (await process.runner.cancel(USER, turn_id)).reply == response.message
        assert (await process.ask()).replayed
    assert engine.runs == 1


@pytest.mark.parametrize(("seconds", "closed"), [(1, True), (100, False)])
async def test_a_turn_that_is_stopped_waits_a_moment_for_its_engine_to_close(
    seconds: float, *, closed: bool
) -> None:
    """Until then a process that ends isn't done; one that won't close is left behind."""
    store, engine = InMemoryStore(), SlowToClose(seconds)
    process = Process(store, engine)
    asking = process.asking()
    await asyncio.sleep(1)
    await process.runner.cancel(USER, next(iter(store.turns)))
    assert (await asyncio.wait_for(asking, 3)).message.metadata["error"]["type"] == "cancelled"
    assert engine.closed is closed


@pytest.mark.promise("model fails", red="`compose_reply` without its escaper")
async def test_what_a_stopped_turn_keeps_is_escaped_as_any_reply_is() -> None:
    """It can be turned back, also where text beside it only looks like an escape."""
    pieces = ["It is \\u0000, ", "as in \x00, ", "or \ud83d."]
    store, engine = InMemoryStore(), TypingEngine(pieces)
    process = Process(store, engine)
    asking = process.asking()
    engine.allow(2)
    await asyncio.sleep(1.5)
    (turn,) = store.turns.values()
    assert turn.draft
    assert "\x00" not in turn.draft
    await process.runner.cancel(USER, turn.id)
    reply = (await asking).message
    assert reply.metadata["escaped"] is True
    assert unescape(reply.content) == "".join(pieces[:2])


async def test_a_turn_that_was_to_stop_is_not_taken_over() -> None:
    """Its worker died before it knew: its draft is the reply, and the AI is not asked again."""
    store, engine = InMemoryStore(), ScriptedEngine()
    record = await begin(store)
    store.turns[record.turn.id].draft = "Half"
    process = Process(store, engine, retry_wait_seconds=60)
    await process.runner.cancel(USER, record.turn.id)
    response = await process.ask()
    assert (response.message.content, response.replayed) == ("Half", True)
    assert store.turns[record.turn.id].status == "cancelled"
    assert engine.requests == []
