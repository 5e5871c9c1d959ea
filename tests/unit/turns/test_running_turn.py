"""The state of a running turn: what watchers read of it, from any offset."""

from typing import Any

import pytest

from shared.models.turns import MegaMindRequest
from shared.turns.running_turn import RunningTurn


async def running(*pieces: str) -> RunningTurn:
    """Return a turn that has written these pieces."""
    begun: Any = object()
    turn = RunningTurn(begun, MegaMindRequest(request="Hello"))
    for piece in pieces:
        turn.write(piece)
    return turn


@pytest.mark.parametrize("offset", range(9))
async def test_the_draft_can_be_read_from_any_offset(offset: int) -> None:
    """Also in the middle of a piece, at its end, and past everything."""
    turn = await running("ab", "", "四🎉", "efg")
    assert turn.text_from(offset) == "ab四🎉efg"[offset:]
    assert turn.length == 7


async def test_a_change_wakes_whoever_waits_for_it() -> None:
    """The change that was taken before is set; the next one is another."""
    turn = await running()
    change = turn.change
    assert not change.is_set()
    turn.write("x")
    assert change.is_set()
    assert not turn.change.is_set()


async def test_how_a_turn_has_ended_is_not_changed_again() -> None:
    """A failure after the end is forgotten, an end after a failure too."""
    settled, failed = await running(), await running()
    record: Any = object()
    settled.settle(record)
    settled.fail(RuntimeError("late"))
    failed.fail(RuntimeError("first"))
    failed.settle(record)
    assert settled.settled.result() is record
    with pytest.raises(RuntimeError, match="first"):
        failed.settled.result()
