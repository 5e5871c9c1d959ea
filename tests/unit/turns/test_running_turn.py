"""The state of a running turn: what its readers find of it, from any position."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from shared.turns.draft import TextPiece
from shared.turns.running_turn import Position, RunningTurn, StatusChange
from tests.support.heart import begun_turn

PART = {"type": "tool-x", "toolCallId": "c", "state": "input-available", "input": {}}


async def running(*pieces: str) -> RunningTurn:
    """Return a turn that has written these pieces."""
    turn = await begun_turn()
    for piece in pieces:
        turn.write(piece)
    return turn


@pytest.mark.parametrize("offset", range(9))
async def test_the_text_can_be_read_from_any_offset(offset: int) -> None:
    """Also in the middle of a piece, at its end, and past everything."""
    turn = await running("ab", "", "四🎉", "efg")
    assert turn.draft.text_from(offset) == "ab四🎉efg"[offset:]
    assert turn.length == 7


async def test_what_has_changed_comes_in_the_order_in_which_it_did() -> None:
    """Statuses stand between the pieces of text that were written before and after them."""
    turn = await running()
    turn.show("thinking")
    turn.write("One, ")
    turn.write("two, ")
    halfway = turn.end
    turn.show("generating")
    turn.write("three.")
    turn.show("saving")
    later = [
        StatusChange(10, "generating"),
        TextPiece(10, "three."),
        StatusChange(16, "saving"),
    ]
    start = [StatusChange(0, "thinking"), TextPiece(0, "One, two, ")]
    assert turn.changes_since(Position()) == [*start, *later]
    assert turn.changes_since(halfway) == later
    assert turn.changes_since(Position(1, 3)) == [TextPiece(3, ", two, "), *later]
    assert turn.changes_since(turn.end) == []


async def test_a_reader_that_joins_has_the_status_as_news_and_the_rest_of_the_text() -> None:
    """From an offset on; from the start all of them, past everything the last alone."""
    turn = await running("ab")
    assert turn.changes_since(turn.position_at(1)) == [TextPiece(1, "b")]
    turn.show("thinking")
    turn.show("generating")
    turn.write("c")
    thinking, generating = StatusChange(2, "thinking"), StatusChange(2, "generating")
    assert turn.changes_since(turn.position_at(0)) == [
        TextPiece(0, "ab"),
        thinking,
        generating,
        TextPiece(2, "c"),
    ]
    assert turn.changes_since(turn.position_at(3)) == [generating]
    assert turn.changes_since(turn.position_at(9)) == [generating]


async def test_statuses_and_parts_stand_where_they_came() -> None:
    """In the text, whichever there are more of."""
    turn = await running()
    turn.show("generating")
    turn.write("Look.")
    turn.add(PART)
    turn.write("Done.")
    turn.show("saving")
    assert [type(change).__name__ for change in turn.changes_since(Position())] == [
        *("StatusChange", "PartChange", "TextPiece", "PartChange"),
        *("PartChange", "TextPiece", "StatusChange"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda turn: turn.write("x"),
        lambda turn: turn.reason("x"),
        lambda turn: turn.add(PART),
        lambda turn: turn.show("thinking"),
        lambda turn: turn.settle(turn.record),
        lambda turn: turn.fail(RuntimeError()),
    ],
)
async def test_a_change_wakes_whoever_waits_for_it(change: Callable[[RunningTurn], None]) -> None:
    """The change that was taken before is set; the next one is another."""
    turn = await running()
    awaited = turn.change
    assert not awaited.is_set()
    change(turn)
    assert awaited.is_set()
    assert not turn.change.is_set()


async def test_how_a_turn_has_ended_is_not_changed_again() -> None:
    """A failure after the end is forgotten, an end after a failure too."""
    settled, failed = await running(), await running()
    record: Any = object()
    assert settled.is_worked_on
    settled.settle(record)
    assert not settled.is_worked_on
    settled.fail(RuntimeError("late"))
    failed.fail(RuntimeError("first"))
    failed.settle(record)
    assert settled.settled.result() is record
    with pytest.raises(RuntimeError, match="first"):
        failed.settled.result()


@pytest.mark.promise("client gone", red="an exception that nobody fetches")
async def test_a_failure_that_nobody_waits_for_is_nobodys_error() -> None:
    """Whoever followed the turn may be gone."""
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    turn = await running()
    turn.fail(RuntimeError("seen by nobody"))
    assert not turn.is_worked_on
    del turn
    gc.collect()
    assert unseen == []
