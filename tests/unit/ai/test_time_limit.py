"""The total time limit holds whatever an engine is waiting for."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.ai.limits import Limited
from shared.ai.protocol import EngineEvent, EngineRequest, TextDelta
from shared.ai.streams import closing
from tests.support.scripted_engine import (
    READY,
    EventEngine,
    HangError,
    HangOnCloseError,
    Recording,
    done,
    record,
)

SHORT = 0.05


async def test_a_run_within_its_time_passes_unchanged() -> None:
    """The limit adds nothing where it isn't reached."""
    script: list[EngineEvent] = [READY, TextDelta("a"), done("a")]
    engine = EventEngine(script)
    assert (await record(Limited(engine, seconds=30))).events == script
    assert engine.closed


@pytest.mark.parametrize("before", [[], [READY], [READY, TextDelta("some "), TextDelta("text")]])
async def test_a_hang_anywhere_ends_in_a_timeout(before: list[EngineEvent]) -> None:
    """What had come is passed on and kept, and the engine is closed."""
    engine = EventEngine([*before, HangError()])
    recording = await record(Limited(engine, seconds=SHORT))
    assert recording.events[:-1] == before
    assert recording.error_type == "timeout"
    assert recording.result.message == (recording.text or recording.result.error.message)  # type: ignore[union-attr]
    assert engine.closed


async def test_an_engine_that_hangs_while_closing_is_left_behind() -> None:
    """The wait for the cleanup is bounded as well."""
    engine = EventEngine([TextDelta("a"), HangOnCloseError()])
    async with asyncio.timeout(5):
        recording = await record(
            Limited(engine, seconds=SHORT, max_reply_chars=99, close_seconds=SHORT)
        )
    assert recording.error_type == "timeout"
    assert not engine.closed
    engine.released.set()


async def test_the_timeout_is_told_before_the_cleanup() -> None:
    """The caller hears of the failure at once, not when the engine has let go."""
    engine = EventEngine([HangOnCloseError()])
    limited = Limited(engine, seconds=SHORT, max_reply_chars=99, close_seconds=30)
    async with asyncio.timeout(5), closing(limited.run(EngineRequest(""))) as events:
        await anext(events)
        engine.released.set()


@pytest.mark.parametrize("pauses", [0, 5], ids=["fast reader", "slow reader"])
async def test_an_engine_that_never_stops_talking_is_stopped(pauses: int) -> None:
    """Endless text does not outlive the limit, even where it is read more slowly than it comes."""

    class Endless(EventEngine):
        async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
            while True:
                yield TextDelta("x")

    events: list[EngineEvent] = []
    limited = Limited(Endless([]), seconds=SHORT)
    async with asyncio.timeout(10), closing(limited.run(EngineRequest(""))) as stream:
        async for event in stream:
            events.append(event)
            for _ in range(pauses):
                await asyncio.sleep(0)
    recording = Recording(events)
    assert recording.error_type == "timeout"
    assert recording.result.message == recording.text


async def test_events_arrive_while_the_engine_goes_on() -> None:
    """The first piece is not held back until the last is there."""
    engine = EventEngine([TextDelta("first"), HangError()])
    async with closing(Limited(engine, seconds=30).run(EngineRequest(""))) as events:
        assert await anext(events) == TextDelta("first")
    assert engine.closed


async def test_a_timeout_of_the_engines_own_is_not_taken_for_the_limit() -> None:
    """A TimeoutError before time is up is the engine's failure."""
    recording = await record(Limited(EventEngine([TimeoutError()])))
    assert recording.error_type == "provider_error"


async def test_a_task_that_dies_of_a_stray_cancellation_is_a_failure() -> None:
    """A CancelledError out of the engine, with nobody cancelling, does not look like success."""
    engine = EventEngine([TextDelta("a"), asyncio.CancelledError()])
    assert (await record(Limited(engine))).error_type == "provider_error"


async def test_cancelling_the_consumer_cancels_the_engine() -> None:
    """A stopped turn leaves no model call running."""
    engine = EventEngine([READY, HangError()])
    started = asyncio.Event()

    async def consume() -> None:
        async for _ in Limited(engine, seconds=30).run(EngineRequest("")):
            started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.closed
