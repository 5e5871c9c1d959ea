"""Live events: what listeners get of running turns, in order, in batches, within a budget."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from shared.shares import Places
from shared.turns.live_events import LiveEvents
from shared.turns.live_reader import GATHER_SECONDS, MAX_DELTA, PIECE_SECONDS
from shared.turns.registry import TurnRegistry
from shared.turns.running_turn import RunningTurn
from tests.support.engines import TypingEngine
from tests.support.heart import Process, RecordingBroadcaster, begun_turn, later_attempt
from tests.support.in_memory_store import InMemoryStore
from tests.support.unit_settings import unit_settings

ROOMY = 10_000  # events a second: as many as anybody wants


class Sending:
    """Some turns, and what goes out of them."""

    def __init__(
        self, turns: Sequence[RunningTurn], *, events_per_second: float = ROOMY, **options: Any
    ) -> None:
        self.registry = TurnRegistry(Places(each=1_000))
        self.turns = turns
        self.broadcaster = RecordingBroadcaster()
        settings = unit_settings(realtime_events_per_second=events_per_second, **options)
        self.live = LiveEvents(self.registry, self.broadcaster, settings)
        for turn in turns:
            self.registry.add(turn, asyncio.sleep(10_000))
        self.live.start()

    def statuses(self) -> list[list[str]]:
        """Return the statuses of each batch that went out."""
        return [[event["payload"]["status"] for event in b] for b in self.broadcaster.batches]

    def text(self) -> str:
        """Return the text that went out, piece by piece."""
        return "|".join(event["text"] for event in self.broadcaster.says() if "text" in event)


async def sending(count: int = 1, **options: Any) -> Sending:
    """Start so many turns that nobody works on."""
    return Sending([await begun_turn() for _ in range(count)], **options)


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


async def test_parts_go_out_as_text_does() -> None:
    """Reasoning that has grown by what is new of it; a part in its place, without any text."""
    out = await sending()
    (turn,) = out.turns
    call = {"type": "tool-x", "toolCallId": "c", "state": "input-available", "input": {}}
    for text in ("Which ", "city?"):
        turn.reason(text)
        await asyncio.sleep(2 * PIECE_SECONDS)
    turn.add(call)
    await asyncio.sleep(2 * PIECE_SECONDS)
    names = [event["event"] for batch in out.broadcaster.batches for event in batch]
    says = [{k: v for k, v in said.items() if k != "attempt"} for said in out.broadcaster.says()]
    assert list(zip(names, says, strict=True)) == [
        ("part", {"index": 0, "offset": 0, "part": {"type": "reasoning", "text": "Which "}}),
        ("part-delta", {"index": 0, "offset": 6, "text": "city?"}),
        ("part", {"index": 1, "offset": 0, "part": call}),
    ]


async def test_events_end_with_the_last_turn_and_begin_with_the_next() -> None:
    """Nothing is kept of a turn that has ended."""
    out = await sending(0)
    for _ in range(2):
        turn = await begun_turn()
        out.registry.add(turn, asyncio.sleep(2))
        out.live.start()
        turn.show("thinking")
        sent_by = out.live._task
        await asyncio.sleep(10)
        assert sent_by is not None
        assert sent_by.done()
    assert out.statuses() == [["thinking"]] * 2
    assert not out.live._readers


@pytest.mark.parametrize(
    ("options", "outcome", "sent"),
    [({}, "sent", 1), ({"live_deltas": "off"}, "sent", 0), ({}, "later", 1)],
)
async def test_what_an_outside_writer_wrote_is_passed_on_if_there_is_room(
    options: dict[str, Any], outcome: Any, sent: int
) -> None:
    """Never beyond the budget, nor while Realtime wants nothing."""
    out = await sending(0, events_per_second=2, **options)
    out.broadcaster.outcome = outcome
    for seconds in (0.1, 0, 0 if outcome == "sent" else 10):
        out.live.pass_on([{}])
        await asyncio.sleep(seconds)
    assert len(out.broadcaster.batches) == sent


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
    await asyncio.sleep(2 * GATHER_SECONDS)
    assert out.statuses() == [["thinking", "generating"] * 50]


async def test_a_turn_that_ends_at_once_costs_no_request() -> None:
    """Its commits say that it began and how it ended; in a burst of them, none is sent for."""
    out = await sending()
    for _ in range(20):
        turn = await begun_turn()
        work = asyncio.sleep(0.8 * GATHER_SECONDS)
        out.registry.add(turn, work)
        turn.show("thinking")
        turn.show("saving")
        await asyncio.sleep(0.7 * GATHER_SECONDS)
        await asyncio.wait_for(out.live.finish(turn), 0.001)
    await asyncio.sleep(1)
    assert out.broadcaster.batches == []


async def test_statuses_that_are_more_than_one_request_holds_take_another_at_once() -> None:
    """Realtime refuses the whole of one that is over the limit with it; none is dropped."""
    out = await sending(30, events_per_second=12)
    for turn in out.turns:
        turn.show("thinking")
    await asyncio.sleep(1.01 * GATHER_SECONDS)
    assert out.statuses() == [["thinking"] * 12, ["thinking"] * 12, ["thinking"] * 6]


async def test_statuses_that_are_refused_wait_at_rest() -> None:
    """However many more there are: time goes on, which it would not beside a loop that spins."""
    out = await sending(30, events_per_second=12)
    for turn in out.turns:
        turn.show("thinking")
    out.broadcaster.outcome = "later"
    await asyncio.sleep(50)
    assert out.statuses() == [["thinking"] * 12]


async def test_text_waits_for_the_budget_and_a_status_does_not() -> None:
    """What begins and statuses have cost is paid for first, and then all of the text goes out."""
    out = await sending(2, events_per_second=1)
    writing, ending = out.turns
    writing.show("generating")
    writing.write("Hel")
    await asyncio.sleep(1)
    ending.show("thinking")
    await asyncio.sleep(2)
    writing.write("lo")
    assert out.statuses() == [["generating"], ["thinking"]]
    await asyncio.sleep(2.5)
    assert out.text() == ""
    await asyncio.sleep(1)
    assert out.text() == "Hello"


async def test_the_first_pieces_go_out_at_once_and_later_ones_twice_a_second() -> None:
    """However fast the AI writes."""
    out = await sending()
    for _ in range(100):
        out.turns[0].write("x")
        await asyncio.sleep(0.02)
    moments = out.text().split("|")
    assert [len(text) < PIECE_SECONDS / 0.02 / 2 for text in moments[:2]] == [True] * 2
    assert {round(len(text) * 0.02 / PIECE_SECONDS, 1) for text in moments[2:]} <= {1.0, 1.2}
    assert len(moments) == 4


@pytest.mark.parametrize(("in_project", "per_second"), [(0, 25), (50, 25), (500, 2.5)])
async def test_each_turn_of_a_project_has_the_same_part_of_its_budget(
    in_project: int, per_second: float
) -> None:
    """Whichever process runs it, by what the last heartbeat counted in all of them."""
    out = await sending(50, events_per_second=25)
    out.registry.in_project = in_project
    async with asyncio.timeout(600):
        for _ in range(1_800):
            for turn in out.turns:
                turn.write("x")
            await asyncio.sleep(0.1)
    # The begins of the turns come first.
    most = (180 - 50 * 2 / per_second) * per_second
    assert 0.85 * most < len(out.broadcaster.says()) < 1.1 * most
    assert max(map(len, out.broadcaster.batches)) <= 25
    sent_for = [event["turnId"] for batch in out.broadcaster.batches for event in payloads(batch)]
    shares = [sent_for.count(str(turn.id)) for turn in out.turns]
    assert max(shares) - min(shares) <= 1


def payloads(batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the events of a batch say."""
    return [event["payload"] for event in batch]


@pytest.mark.parametrize(
    ("deltas", "sent"),
    [("all", {"streamed", "asked"}), ("others", {"asked"}), ("off", set())],
)
async def test_whose_text_goes_out_is_a_setting(deltas: str, sent: set[str]) -> None:
    """Statuses are those of every turn."""
    out = await sending(2, live_deltas=deltas)
    streamed, asked = out.turns
    streamed.is_streamed = True
    for turn, text in ((streamed, "streamed"), (asked, "asked")):
        turn.show("generating")
        turn.write(text)
    await asyncio.sleep(10)
    assert set(out.text().split("|")) - {""} == sent
    assert [event.get("status") for event in out.broadcaster.says()].count("generating") == 2


@pytest.mark.parametrize("streamed", [True, False])
async def test_text_of_a_turn_that_is_asked_for_as_a_stream_may_be_left_out(
    *, streamed: bool
) -> None:
    """With `others`: whoever asked for it reads it there."""
    engine = TypingEngine(["One."])
    process = Process(InMemoryStore(), engine, live_deltas="others")
    asking = process.streaming().task if streamed else process.asking()
    engine.allow()
    await asyncio.sleep(5)
    assert any("text" in event for event in process.broadcaster.says()) is not streamed
    engine.allow()
    await asking


async def test_a_refusal_loses_nothing_and_a_silence_gathers() -> None:
    """What Realtime refused for its limit goes out later, with what has come meanwhile."""
    out = await sending()
    (turn,) = out.turns
    turn.show("generating")
    turn.write("Hel")
    out.broadcaster.outcome = "later"
    await asyncio.sleep(1.5 * GATHER_SECONDS)
    out.broadcaster.outcome = "sent"
    refused = len(out.broadcaster.batches)
    turn.write("lo")
    await asyncio.sleep(50)
    assert len(out.broadcaster.batches) == refused
    await asyncio.sleep(11)
    assert payloads(out.broadcaster.batches[-1])[0]["status"] == "generating"
    assert out.text().endswith("|Hello")


async def test_a_turn_does_not_wait_at_its_end() -> None:
    """Nothing more is sent of it, adopted or not: the reply that is committed next says the rest.

    Nor does one wait that is lost, and of which nothing was sent.
    """
    out = await sending()
    (turn,) = out.turns
    turn.show("generating")
    turn.write("Hel")
    await asyncio.sleep(9.95)
    turn.write("lo")
    turn.show("saving")
    await asyncio.wait_for(out.live.finish(turn), 0.001)
    turn.adopt(later_attempt(turn.record))
    lost = await begun_turn("text")
    lost.lost.set()
    await asyncio.wait_for(out.live.finish(lost), 0.001)
    await asyncio.sleep(10)
    assert [event.get("status") for event in out.broadcaster.says()] == ["generating", None]
    assert out.text() == "Hel"


@pytest.mark.promise("Realtime away")
async def test_text_that_comes_at_once_goes_out_in_events_that_realtime_carries() -> None:
    """However large the piece: one that is too large would have the whole request refused."""
    out = await sending()
    text = "".join(chr(0x1F300 + n % 700) for n in range(3 * MAX_DELTA + 5))
    for piece in ("Hi", text, "!"):
        out.turns[0].write(piece)
    await asyncio.sleep(2 * GATHER_SECONDS)
    said = out.broadcaster.says()
    lengths = [len(event["text"]) for event in said]
    assert "".join(event["text"] for event in said) == f"Hi{text}!"
    assert max(lengths) <= MAX_DELTA
    assert [event["offset"] for event in said] == [sum(lengths[:n]) for n in range(len(lengths))]


@pytest.mark.promise("deadlines")
async def test_a_realtime_that_hangs_holds_up_no_turn_for_longer_than_its_bound() -> None:
    """That of what is under way; nothing more of the turn is sent later."""
    out = await sending()
    (turn,) = out.turns
    out.broadcaster.is_hung = True
    clock = asyncio.get_running_loop().time
    turn.show("thinking")
    await asyncio.sleep(0.15)  # the batch is under way
    turn.show("generating")
    started = clock()
    await out.live.finish(turn)
    assert clock() - started <= out.broadcaster.timeout + 0.001
    turn.adopt(later_attempt(turn.record))
    await asyncio.sleep(10)
    assert out.statuses() == [["thinking"]]
