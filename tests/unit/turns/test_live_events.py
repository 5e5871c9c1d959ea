"""Live events: what listeners get of running turns, in order, in batches, at Realtime's rate."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.shares import Places
from shared.turns import live_events
from shared.turns.live_events import GATHER_SECONDS, MAX_DELTA, LiveEvents
from shared.turns.registry import TurnRegistry
from shared.turns.running_turn import RunningTurn
from tests.support.heart import RecordingBroadcaster, begun_turn, later_attempt


class Sending:
    """Some turns, and what goes out of them."""

    def __init__(self, turns: Sequence[RunningTurn]) -> None:
        registry = TurnRegistry(Places(each=1_000))
        self.turns = turns
        self.broadcaster = RecordingBroadcaster()
        self.live = LiveEvents(registry, self.broadcaster)
        for turn in turns:
            registry.add(turn, asyncio.sleep(10_000))
        self.live.start()

    def statuses(self) -> list[list[str]]:
        """Return the statuses of each batch that went out."""
        return [[event["payload"]["status"] for event in b] for b in self.broadcaster.batches]


async def sending(count: int = 1) -> Sending:
    """Start so many turns that nobody works on."""
    return Sending([await begun_turn() for _ in range(count)])


async def test_an_event_says_what_and_whose_and_is_private() -> None:
    """On the conversation's own topic, without Realtime's prefix."""
    out = await sending()
    (turn,) = out.turns
    turn.show("thinking")
    await asyncio.sleep(2 * GATHER_SECONDS)
    (batch,) = out.broadcaster.batches
    assert batch == [
        {
            "topic": f"conversation:{turn.record.conversation.id}",
            "event": "status",
            "payload": {"turnId": str(turn.id), "attempt": 1, "status": "thinking"},
            "private": True,
        }
    ]


async def test_what_comes_in_one_moment_goes_out_together_and_nothing_twice() -> None:
    """Text as one piece between the statuses that it was written between."""
    out = await sending()
    (turn,) = out.turns
    turn.show("thinking")
    turn.write("Hel")
    turn.write("lo")
    turn.show("generating")
    await asyncio.sleep(2 * GATHER_SECONDS)
    turn.write("!")
    await asyncio.sleep(10)
    said = [
        {"attempt": 1, "status": "thinking"},
        {"attempt": 1, "offset": 0, "text": "Hello"},
        {"attempt": 1, "status": "generating"},
        {"attempt": 1, "offset": 5, "text": "!"},
    ]
    assert out.broadcaster.says() == said
    assert [len(batch) for batch in out.broadcaster.batches] == [3, 1]


async def test_a_turn_that_is_adopted_is_sent_again_from_its_start() -> None:
    """Under the later attempt, whose listeners have none of it."""
    out = await sending()
    (turn,) = out.turns
    turn.show("generating")
    turn.write("Half")
    await asyncio.sleep(2 * GATHER_SECONDS)
    turn.adopt(later_attempt(turn.record))
    await asyncio.sleep(2 * GATHER_SECONDS)
    turn.write(" done")
    await asyncio.sleep(2 * GATHER_SECONDS)
    assert out.broadcaster.says()[2:] == [
        {"attempt": 2, "status": "generating"},
        {"attempt": 2, "offset": 0, "text": "Half"},
        {"attempt": 2, "offset": 4, "text": " done"},
    ]


@pytest.mark.promise("streams")
async def test_turns_share_a_request() -> None:
    """However many there are: what they say in one moment goes out at once."""
    out = await sending(50)
    for turn in out.turns:
        turn.show("thinking")
        turn.show("generating")
    await asyncio.gather(*(out.live.finish(turn) for turn in out.turns))
    assert out.statuses() == [["thinking", "generating"] * 50]


async def test_more_turns_than_one_request_holds_take_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has its turn: those that were served last wait for the others."""
    monkeypatch.setattr(live_events, "MOST_TURNS", 2)
    out = await sending(5)
    for turn in out.turns:
        turn.show("thinking")
    await asyncio.sleep(2.5 * GATHER_SECONDS)
    for turn in out.turns[:2]:
        turn.show("generating")
    await asyncio.sleep(4 * GATHER_SECONDS)
    assert out.statuses() == [
        ["thinking"] * 2,
        ["thinking"] * 2,
        ["thinking", "generating"],
        ["generating"],
    ]


async def test_many_events_are_paced_and_a_turn_that_ends_does_not_wait_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a batch of many the next one gathers for longer, unless somebody waits for it."""
    monkeypatch.setattr(live_events, "EVENTS_PER_SECOND", 0.01)
    out = await sending(2)
    writing, ending = out.turns
    writing.show("generating")
    await asyncio.sleep(1)
    writing.write("Hello")
    await asyncio.sleep(90)
    assert len(out.broadcaster.batches) == 1
    ending.show("saving")
    await asyncio.wait_for(out.live.finish(ending), 0.1)
    assert out.broadcaster.says()[1:] == [
        {"attempt": 1, "status": "saving"},
        {"attempt": 1, "offset": 0, "text": "Hello"},
    ]


async def test_after_its_end_nothing_more_is_sent_of_a_turn() -> None:
    """A passing event must not arrive behind the reply, which is committed then."""
    out = await sending(2)
    for turn in out.turns:
        turn.show("saving")
        await out.live.finish(turn)
        turn.adopt(later_attempt(turn.record))
    lost = await begun_turn("text")
    lost.lost.set()
    await asyncio.wait_for(out.live.finish(lost), 0.1)
    await asyncio.sleep(10)
    assert out.statuses() == [["saving"], ["saving"]]


@pytest.mark.promise("Realtime away")
async def test_text_that_comes_at_once_goes_out_in_events_that_realtime_carries() -> None:
    """However large the piece: one that is too large would have the whole request refused."""
    out = await sending()
    text = "".join(chr(0x1F300 + n % 700) for n in range(3 * MAX_DELTA + 5))
    for piece in ("Hi", text, "!"):
        out.turns[0].write(piece)
    await out.live.finish(out.turns[0])
    said = out.broadcaster.says()
    lengths = [len(event["text"]) for event in said]
    assert "".join(event["text"] for event in said) == f"Hi{text}!"
    assert max(lengths) <= MAX_DELTA
    assert [event["offset"] for event in said] == [sum(lengths[:n]) for n in range(len(lengths))]


@pytest.mark.promise("deadlines")
async def test_a_realtime_that_hangs_holds_up_no_turn_for_longer_than_its_bound() -> None:
    """Whoever has waited enough gives up what is under way; nothing of it is sent later."""
    out = await sending()
    (turn,) = out.turns
    out.broadcaster.is_hung = True
    clock = asyncio.get_running_loop().time
    turn.show("thinking")
    await asyncio.sleep(0.15)  # the batch before is under way
    turn.show("saving")
    started = clock()
    await out.live.finish(turn)
    assert clock() - started <= out.broadcaster.timeout + 0.001
    assert out.broadcaster.given_up == 1
    turn.adopt(later_attempt(turn.record))
    await asyncio.sleep(10)
    assert out.statuses() == [["thinking"], ["saving"]]


async def test_with_its_last_turn_the_sending_ends() -> None:
    """And begins with the next one again."""
    registry = TurnRegistry(Places(each=10))
    live = LiveEvents(registry, RecordingBroadcaster())
    for _ in range(2):
        registry.add(await begun_turn(), asyncio.sleep(1))
        live.start()
        sent_by = live._task
        await asyncio.sleep(2)
        assert sent_by is not None
        assert sent_by.done()
