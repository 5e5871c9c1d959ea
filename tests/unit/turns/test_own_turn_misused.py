"""A block that is used in ways it isn't meant for: each is refused with an error of its own."""

import asyncio
import threading
from typing import Any

import pytest

from shared.ai.agents import ReplyMetadata
from shared.errors import StoreUnavailableError
from shared.turns.own_turn import OwnTurn
from tests.support.heart import Process
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import away
from tests.unit.turns.test_own_turn import own_turn


@pytest.fixture
def process() -> Process:
    return Process(InMemoryStore())


def nested(depth: int) -> list[Any]:
    """Return a list in a list, so many times."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


async def test_a_part_is_stored_as_it_was_when_it_was_added(process: Process) -> None:
    """Whatever the body does with its dict afterwards."""
    call: dict[str, Any] = {"type": "tool-search", "state": "input-available", "input": {"q": 1}}
    async with own_turn(process) as turn:
        for name in "ab":
            call["toolCallId"] = name
            await turn.add(call)
            call["input"]["q"] += 1
    stored = [(part["toolCallId"], part["input"]) for part in turn.reply.parts]
    assert stored == [("a", {"q": 1}), ("b", {"q": 2})]


async def test_a_block_is_entered_once(process: Process) -> None:
    """In itself it would wait for its own end, and afterwards nothing can be written."""
    turn = own_turn(process)
    async with turn:
        with pytest.raises(RuntimeError, match="entered once"):
            await turn.__aenter__()
        await turn.write("Once.")
    with pytest.raises(RuntimeError, match="entered once"):
        await turn.__aenter__()
    assert turn.reply.content == "Once."


async def test_a_block_that_could_not_begin_is_entered_again(process: Process) -> None:
    """Nothing of it was stored while the store was away."""
    turn = own_turn(process)
    process.store.faults["begin_turn"] = away
    with pytest.raises(StoreUnavailableError):
        await turn.__aenter__()
    process.store.faults.clear()
    async with turn:
        await turn.write("Begun.")
    assert turn.reply.content == "Begun."


async def test_a_thread_that_writes_says_how_it_is_done(process: Process) -> None:
    """In its own event loop nothing would wake the writer's; through the turn's it is written."""
    loop = asyncio.get_running_loop()

    def work(turn: OwnTurn) -> None:
        with pytest.raises(RuntimeError, match="run_coroutine_threadsafe"):
            asyncio.run(turn.write("Wrong."))
        asyncio.run_coroutine_threadsafe(turn.write("Right."), loop)

    async with own_turn(process) as turn:
        thread = threading.Thread(target=work, args=[turn])
        thread.start()
        thread.join()
        await asyncio.sleep(1)
    assert turn.reply.content == "Right."


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (3, TypeError),
        ({"type": "no-such-part"}, ValueError),
        (ReplyMetadata({"x": {1, 2}}), ValueError),
        (ReplyMetadata({"x": "y" * 500_000}), ValueError),
        ({"type": "data-x", "data": {1, 2}}, ValueError),
        ({"type": "data-x", "data": (1, 2)}, ValueError),
        ({"type": "data-x", "data": float("nan")}, ValueError),
        ({"type": "data-x", "data": {1: 2}}, ValueError),
        ({"type": "data-x", "data": nested(130)}, ValueError),
        ({"type": "data-x", "data": nested(100_000)}, ValueError),
    ],
)
async def test_what_a_reply_can_not_hold_is_refused_where_it_is_added(
    process: Process, output: Any, error: type[Exception]
) -> None:
    """The body knows at once, and the turn goes on."""
    async with own_turn(process) as turn:
        with pytest.raises(error):
            await turn.add(output)
        await turn.write("Well.")
    assert turn.reply.metadata["success"] is True
