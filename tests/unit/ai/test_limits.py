"""The wrapper that keeps the protocol's promises for any engine: order, failures, sizes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.ai import limits
from shared.ai.limits import Limited
from shared.ai.protocol import (
    AnalysisReady,
    EngineError,
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    PartReady,
    TextDelta,
)
from shared.ai.streams import closing
from shared.encoding.files import GeneratedFile
from shared.encoding.parts import Part
from shared.encoding.sizes import MAX_TEXT_BYTES, text_size
from tests.support.scripted_engine import READY, EventEngine, HangError, done, record, rows

TOOL: Part = {"type": "tool-x", "toolCallId": "c", "state": "output-available", "input": {}}


async def test_a_good_run_passes_unchanged() -> None:
    """The guard adds nothing to an engine that behaves."""
    script: list[EngineEvent] = [READY, TextDelta("a"), TextDelta("b"), done("ab")]
    assert (await record(Limited(EventEngine(script)))).events == script


@pytest.mark.parametrize("error", [RuntimeError("key sk-1"), KeyError("x"), RecursionError()])
async def test_any_exception_becomes_a_failure_that_tells_nothing(error: Exception) -> None:
    """A bug is a failed reply with the text so far, and its message stays inside."""
    recording = await record(Limited(EventEngine([READY, TextDelta("so far"), error])))
    assert recording.error_type == "provider_error"
    assert recording.result.message == "so far"
    assert "sk-1" not in recording.result.model_dump_json()


@pytest.mark.parametrize("given", [5, None, "words", b"", {"text": "x"}])
async def test_what_is_no_event_ends_the_reply_as_a_failure(given: Any) -> None:
    """An engine's own class that yields something else: none of it is passed on."""
    recording = await record(Limited(EventEngine([TextDelta("so far"), given, TextDelta("more")])))
    assert recording.error_type == "provider_error"
    assert recording.events[:-1] == [TextDelta("so far")]


async def test_a_failure_without_text_says_what_happened() -> None:
    """The stored reply is a sentence, never blank."""
    result = (await record(Limited(EventEngine([RuntimeError()])))).result
    assert result.error is not None
    assert result.message == result.error.message != ""


async def test_a_stream_without_a_result_is_a_failure() -> None:
    """Every run ends with a result, whatever the engine forgot."""
    recording = await record(Limited(EventEngine([READY, TextDelta("a")])))
    assert (recording.error_type, recording.result.message) == ("provider_error", "a")


@pytest.mark.promise("model fails")
@pytest.mark.parametrize("text", ["", " \n"])
async def test_a_blank_reply_is_a_failure(text: str) -> None:
    """Success means that there is something to read."""
    recording = await record(Limited(EventEngine([READY, TextDelta(text), done(text)])))
    assert recording.error_type == "empty_reply"
    assert recording.result.message.strip()


async def test_text_that_was_not_streamed_is_streamed_before_the_result() -> None:
    """The pieces always make up the message."""
    recording = await record(Limited(EventEngine([TextDelta("Hel"), done("Hello")])))
    assert recording.text == recording.result.message == "Hello"


async def test_a_result_that_contradicts_the_stream_gives_way() -> None:
    """What the user saw is what is stored."""
    recording = await record(Limited(EventEngine([TextDelta("seen"), done("other")])))
    assert recording.text == recording.result.message == "seen"


async def test_the_wrapper_passes_request_and_history_on() -> None:
    """The engine inside sees exactly what the turn gave."""
    engine = EventEngine([done("a")])
    history = rows(("user", "Hi"), ("assistant", "Hello"))
    await record(Limited(engine, seconds=9, max_reply_chars=9), "Go on", history)
    assert engine.asked == [("Go on", history)]


async def test_nothing_follows_the_result() -> None:
    """Later events and a second result are dropped, and the engine is closed."""
    engine = EventEngine([TextDelta("a"), done("a"), TextDelta("b"), done("b")])
    recording = await record(Limited(engine))
    assert recording.result.message == "a"
    assert engine.closed


async def test_an_exception_while_closing_adds_no_second_result() -> None:
    """A failed cleanup behind the result is not a second outcome."""

    class BadlyClosing(EventEngine):
        async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
            try:
                yield done("a")
            finally:
                raise RuntimeError

    assert (await record(Limited(BadlyClosing([])))).result.success


async def test_there_is_one_analysis_at_most() -> None:
    """It may come behind text; a second one is dropped."""
    recording = await record(
        Limited(EventEngine([TextDelta("a"), READY, READY, TextDelta("b"), READY, done("ab")]))
    )
    is_analysis = [isinstance(event, AnalysisReady) for event in recording.events]
    assert is_analysis == [False, True, False, False]


async def test_a_failed_result_keeps_its_error_and_the_text() -> None:
    """The engine's own word for the failure is passed on."""
    error = EngineError(type="refused", message="No.")
    result = EngineResult(
        success=False, message="", error=error, engine="scripted", reasoning="Hm."
    )
    recording = await record(Limited(EventEngine([TextDelta("Well, "), Finished(result)])))
    assert (recording.error_type, recording.result.message) == ("refused", "Well, ")
    assert recording.result.reasoning == "Hm."


async def test_a_cancellation_goes_through_and_cleans_up() -> None:
    """Stopping a turn stops its engine."""
    engine = EventEngine([READY, HangError()])
    started = asyncio.Event()

    async def consume() -> None:
        async with closing(Limited(engine).run(EngineRequest(""))) as events:
            async for _ in events:
                started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.closed


async def test_a_consumer_that_leaves_early_closes_the_engine() -> None:
    """Closing the outer stream closes the inner one."""
    engine = EventEngine([READY, TextDelta("a"), done("a")])
    async with closing(Limited(engine, max_reply_chars=10).run(EngineRequest(""))) as events:
        await anext(events)
    assert engine.closed


@pytest.mark.promise("model fails")
async def test_a_reply_over_the_limit_is_cut_flagged_and_stopped() -> None:
    """The engine is not read on, and files that were complete are kept."""
    file = "```py a.py\nx\n```\n"
    engine = EventEngine([READY, TextDelta(file), TextDelta("y" * 100), HangError()])
    result = (await record(Limited(engine, max_reply_chars=len(file) + 10))).result
    assert (result.success, result.finish_reason) == (True, "length")
    assert result.message == file + "y" * 10
    assert result.files == [GeneratedFile(path="a.py", language="py", content="x\n")]
    assert engine.closed


@pytest.mark.parametrize("letter", ["漢", '"'])
async def test_a_reply_that_a_row_has_no_room_for_is_cut_and_stopped(letter: str) -> None:
    """However many characters it may have: its stream and its result end at the same one."""
    piece = letter * 300_000
    seen = await record(
        Limited(EventEngine([TextDelta(piece)] * 9 + [done(piece * 9)]), max_reply_chars=10**9)
    )
    assert seen.result.message == seen.text
    assert 0 <= MAX_TEXT_BYTES - text_size(seen.result.message) < 3
    assert seen.result.finish_reason == "length"


async def test_later_states_of_a_part_take_its_place_in_what_a_row_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are; other parts add up, and end the reply where there is no room."""
    monkeypatch.setattr(limits, "MAX_TEXT_BYTES", 1_500)
    states: list[EngineEvent] = [PartReady({**TOOL, "output": "x" * 500}) for _ in range(20)]
    engine = EventEngine([TextDelta("a"), *states, done("a")])
    assert (await record(Limited(engine, max_reply_chars=10))).result.finish_reason is None
    several = [PartReady({**TOOL, "toolCallId": str(n), "output": "x" * 500}) for n in range(3)]
    engine = EventEngine([TextDelta("a"), *several, done("a")])
    seen = await record(Limited(engine, max_reply_chars=10))
    assert (seen.result.finish_reason, seen.events[:-1]) == (
        "length",
        [TextDelta("a"), *several[:1]],
    )


@pytest.mark.parametrize(
    ("part", "error_type"),
    [
        ({"type": "reasoning", "text": "Hm."}, "empty_reply"),
        ({"type": "step-start"}, "empty_reply"),
        ({"type": "tool-x", "toolCallId": "c", "state": "input-available", "input": {}}, None),
    ],
)
async def test_a_part_is_a_reply_but_for_what_says_nothing(
    part: Part, error_type: str | None
) -> None:
    """And what the engine added beside is kept in a failure too."""
    engine = EventEngine([PartReady(part), done("", metadata={"mine": 1})])
    result = (await record(Limited(engine))).result
    assert (result.error.type if result.error else None) == error_type
    assert result.metadata == {"mine": 1}


async def test_a_reply_of_exactly_the_limit_is_whole() -> None:
    """The last allowed character is still allowed."""
    result = (
        await record(Limited(EventEngine([TextDelta("abc"), done("abc")]), max_reply_chars=3))
    ).result
    assert (result.message, result.finish_reason) == ("abc", None)


async def test_files_and_messages_in_a_result_are_limited_too() -> None:
    """What was never streamed can't be larger than what may be."""
    files = [{"path": f"{n}.py", "language": None, "content": "x" * 6} for n in range(3)]
    engine = EventEngine([done("y" * 20, files=files)])
    result = (await record(Limited(engine, max_reply_chars=10))).result
    assert (len(result.message), len(result.files), result.finish_reason) == (10, 1, "length")
