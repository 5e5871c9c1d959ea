"""Turns that are written call by call, on whichever process, in virtual time."""

import asyncio
from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

import pytest

from shared.ai.protocol import EngineError, EngineResult, Usage
from shared.encoding.parts import text_of
from shared.errors import (
    AppError,
    PayloadTooLargeError,
    TurnInProgressError,
    TurnNotFoundError,
    TurnSupersededError,
    UnavailableError,
)
from shared.models.turns import ExtendedTurn, ExtendedTurns, TurnRecord
from shared.turns import outside
from shared.turns.draft import parts_of_draft
from shared.turns.outside import Attempt
from shared.turns.own_turn import OwnTurn
from tests.support.heart import USER, Process, turn_request
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import Call, answer_lost, once


def result(message: str = "", **fields: Any) -> EngineResult:
    return EngineResult.model_validate(
        {"success": True, "message": message, "engine": "own", **fields}
    )


@pytest.fixture
def processes() -> list[Process]:
    """Two, on one store: each step may come to either."""
    store = InMemoryStore()
    return [Process(store), Process(store)]


async def begin(process: Process, key: str = "k", **body: Any) -> tuple[TurnRecord, Attempt]:
    record = await process.runner.outside.begin(turn_request(key, **body))
    return record, Attempt(USER, record.turn.id, record.turn.attempt)


@pytest.mark.promise("one reply")
async def test_each_step_may_come_to_another_process(processes: list[Process]) -> None:
    """The store alone knows how far the turn is."""
    one, other = processes
    record, writer = await begin(one)
    first = await other.runner.outside.write(writer, offset=0, text="Hel")
    second = await one.runner.outside.write(writer, offset=3, text="lo.")
    done = await other.runner.outside.complete(writer, result())
    assert (first.draft_length, second.draft_length) == (3, 6)
    assert done.reply is not None
    assert (done.reply.content, done.turn.status) == ("Hello.", "completed")
    assert record.history == []


async def test_how_long_it_took_is_by_the_stores_clock(processes: list[Process]) -> None:
    """Whatever that of the process shows that ends it."""
    one, other = processes
    _, writer = await begin(one)
    await asyncio.sleep(5)
    done = await other.runner.outside.complete(writer, result("In time."))
    assert done.reply is not None
    assert done.reply.metadata["duration"] == pytest.approx(5, abs=1)


async def test_an_end_that_is_repeated_is_one_reply(processes: list[Process]) -> None:
    """Also where the first answer was lost on its way, and whatever the second one says."""
    one, other = processes
    _, writer = await begin(one)
    one.store.faults["complete_turn"] = once(answer_lost)
    with pytest.raises(Exception, match="store"):
        await one.runner.outside.complete(writer, result("First."))
    again = await other.runner.outside.complete(writer, result("Second."))
    assert again.reply is not None
    assert again.reply.content == "First."
    assert len(one.store.messages[again.conversation.id]) == 2


@pytest.mark.promise("fencing")
async def test_writes_keep_the_lease_and_their_absence_ends_it(processes: list[Process]) -> None:
    """Then the key begins the next attempt, and the late one stores nothing."""
    one, other = processes
    _, late = await begin(one)
    for _ in range(10):
        await asyncio.sleep(20)
        await one.runner.outside.write(late, offset=0, text="")
        with pytest.raises(TurnInProgressError):
            await begin(other)
    await asyncio.sleep(30)
    taken, writer = await begin(other)
    for refused in (
        one.runner.outside.write(late, offset=0, text="Late"),
        one.runner.outside.complete(late, result("Late")),
    ):
        with pytest.raises(TurnSupersededError) as raised:
            await refused
        assert raised.value.details == {
            "turnId": str(late.turn_id), "status": "running", "attempt": 2,
        }  # fmt: skip
    done = await other.runner.outside.complete(writer, result("In time."))
    assert (taken.outcome, writer.number) == ("taken_over", 2)
    assert done.reply is not None
    assert done.reply.content == "In time."


async def test_a_begin_whose_answer_was_lost_is_begun_at_once(processes: list[Process]) -> None:
    """By the process that asked: nobody works on it, so no lease has to end."""
    one, _ = processes
    one.store.faults["begin_turn"] = once(answer_lost)
    with pytest.raises(Exception, match="store"):
        await begin(one)
    record, _ = await begin(one)
    assert (record.outcome, record.turn.attempt) == ("started", 1)


async def test_an_owners_stop_is_said_at_the_next_write(processes: list[Process]) -> None:
    """And settles the turn by itself, if the writer never comes back."""
    one, other = processes
    record, writer = await begin(one)
    await other.runner.cancel(USER, record.turn.id)
    answer = await one.runner.outside.write(writer, offset=0, text="So far")
    await asyncio.sleep(30)
    settled = await begin(other)
    assert answer.cancel_requested
    assert settled[0].outcome == "replayed"
    assert settled[0].turn.status == "cancelled"


async def test_a_lease_is_as_long_as_the_writer_asks_for(processes: list[Process]) -> None:
    """From the begin on, and from each write on."""
    one, _ = processes
    request = turn_request("k")
    record = await one.runner.outside.begin(request, lease_seconds=600)
    writer = Attempt(USER, record.turn.id, record.turn.attempt)
    for seconds in (590, 55):
        await asyncio.sleep(seconds)
        with pytest.raises(TurnInProgressError):
            await begin(one)
        await one.runner.outside.write(writer, offset=0, lease_seconds=60)
    await asyncio.sleep(55)
    with pytest.raises(TurnInProgressError):
        await begin(one)
    await asyncio.sleep(10)
    assert (await begin(one))[0].outcome == "taken_over"


async def test_live_events_are_those_of_every_turn(processes: list[Process]) -> None:
    """Of what is written, once: its text, and each part in its place."""
    one, _ = processes
    _, writer = await begin(one)
    for _ in range(2):
        await one.runner.outside.write(writer, offset=0, text="I look.", parts=[CALL])
    await asyncio.sleep(1)
    says = one.broadcaster.says()
    assert [event["text"] for event in says if "text" in event] == ["I look."]
    shown = [(event["attempt"], event["index"], event["part"]) for event in says if "part" in event]
    assert shown[-1] == (1, 1, CALL)


@pytest.mark.parametrize(
    ("error_type", "status"),
    [("cancelled", "cancelled"), ("interrupted", "interrupted"), ("over_quota", "failed")],
)
@pytest.mark.parametrize(("written", "content"), [("Half", "Half"), ("", "No more.")])
async def test_a_failure_settles_the_turn_as_what_it_is(
    processes: list[Process], error_type: str, status: str, written: str, content: str
) -> None:
    """With the text so far, or with its own sentence if there is none."""
    one, _ = processes
    _, writer = await begin(one)
    await one.runner.outside.write(writer, offset=0, text=written)
    error = EngineError(type=error_type, message="No more.")
    done = await one.runner.outside.complete(writer, result(success=False, error=error))
    assert done.reply is not None
    assert (done.turn.status, done.reply.content) == (status, content)


async def test_a_reply_may_have_parts(processes: list[Process]) -> None:
    """Its text is theirs; without any, and without text, it has failed."""
    source = {"type": "source-url", "sourceId": "1", "url": "https://example.com"}
    parts = [{"type": "text", "text": "Look."}, source]
    one, _ = processes
    _, writer = await begin(one)
    done = await one.runner.outside.complete(writer, result("Look."), parts=parts)
    assert done.reply is not None
    assert (done.reply.content, done.reply.parts) == ("Look.", parts)


CALL = {"type": "tool-search", "toolCallId": "1", "state": "input-available", "input": {"q": "x"}}
FOUND = {**CALL, "state": "output-available", "output": [1]}
SOURCE = {"type": "source-url", "sourceId": "1", "url": "https://example.com"}
STEP = {"type": "step-start"}
THOUGHT = {"type": "reasoning", "id": "r", "text": "Look"}
# What a writer sends, and what an agent of the library gives for the same.
STEPS: list[tuple[str, list[dict[str, Any]]]] = [
    ("", [STEP, THOUGHT]),
    ("", [{**THOUGHT, "text": "Look it up."}]),
    ("I look. 🎉", [CALL]),
    ("", [STEP, STEP]),
    ("", [FOUND, SOURCE]),
    ("Fou", []),
    ("nd.", []),
    ("", [{"type": "text", "text": " That's all.", "state": "done"}]),
    ("Yes.", [SOURCE]),
]


async def written_by_the_library() -> tuple[str, list[dict[str, Any]]]:
    """Return the reply of an agent that gives the steps."""
    process = Process(InMemoryStore())
    request = turn_request("k")
    async with OwnTurn(process.runner, request, name="own", settings=process.settings) as turn:
        for text, parts in STEPS:
            if text:
                await turn.write(text)
            for part in parts:
                await turn.add(part)
    return turn.reply.content, turn.reply.parts


async def test_parts_are_written_by_the_rule_of_the_library(processes: list[Process]) -> None:
    """On any process, each write twice, as if its answer was lost: one reply, as the library's."""
    one, other = processes
    _, writer = await begin(one)
    place = {"offset": 0, "version": 0}
    for number, (text, parts) in enumerate(STEPS):
        sent: dict[str, Any] = {**place, "text": text, "parts": parts}
        written = await processes[number % 2].runner.outside.write(writer, **sent)
        again = await other.runner.outside.write(writer, **sent)
        assert again == written
        place = {"offset": written.draft_length or 0, "version": written.parts_version or 0}
    done = await one.runner.outside.complete(writer, result())
    assert done.reply is not None
    assert (done.reply.content, done.reply.parts) == await written_by_the_library()


@pytest.mark.parametrize(
    ("offset", "version", "text"),
    [(3, 0, "more"), (3, 1, "more"), (9, 2, ""), (0, 2, "a"), (3, 7, "more"), (2, 2, "cx")],
    ids=["no version", "an earlier one", "a hole", "before a part", "a later one", "over a part"],
)
async def test_a_write_elsewhere_changes_nothing(
    processes: list[Process], offset: int, version: int, text: str
) -> None:
    """And is answered where to go on."""
    one, _ = processes
    record, writer = await begin(one)
    await one.runner.outside.write(writer, offset=0, text="abc", parts=[CALL])
    for parts in ([], [SOURCE]):
        written = await one.runner.outside.write(
            writer, offset=offset, version=version, text=text, parts=parts
        )
        assert (written.draft_length, written.parts_version) == (3, 2)
    stored = await one.store.load_turn(USER, record.turn.id, caller=None)
    assert parts_of_draft(stored.draft, stored.draft_parts) == [
        {"type": "text", "text": "abc"}, CALL,
    ]  # fmt: skip


async def test_parts_are_read_only_for_what_is_written_beside_them(
    processes: list[Process],
) -> None:
    """A heartbeat without anything, and text where there are none, cost one call."""
    one, _ = processes
    _, writer = await begin(one)
    await one.runner.outside.write(writer, offset=0, text="abc")
    assert "follow_turn" not in one.store.calls
    await one.runner.outside.write(writer, offset=3, parts=[CALL])
    written = await one.runner.outside.write(writer, offset=3, version=2)
    assert one.store.calls["follow_turn"] == 1
    assert (written.draft_length, written.parts_version) == (3, 2)


@pytest.mark.parametrize(
    ("content", "parts", "stored"),
    [
        ("", [], [{"type": "text", "text": "I look."}, CALL]),
        ("I look.", [], [{"type": "text", "text": "I look."}, CALL]),
        ("", [FOUND, SOURCE], [{"type": "text", "text": "I look."}, FOUND, SOURCE]),
        ("Found.", [SOURCE], [CALL, {"type": "text", "text": "Found."}, SOURCE]),
        ("Found.", [{"type": "text", "text": "Found."}], [{"type": "text", "text": "Found."}]),
    ],
    ids=["nothing", "the same text", "parts", "another text", "all of it"],
)
async def test_an_end_keeps_what_was_written(
    processes: list[Process],
    content: str,
    parts: list[dict[str, Any]],
    stored: list[dict[str, Any]],
) -> None:
    """What it is given stands behind; only parts with text among them say it all."""
    one, other = processes
    _, writer = await begin(one)
    await one.runner.outside.write(writer, offset=0, text="I look.", parts=[CALL])
    done = await other.runner.outside.complete(writer, result(content), parts=parts)
    assert done.reply is not None
    assert (done.reply.parts, done.turn.status) == (stored, "completed")
    assert done.reply.content == text_of(stored)


async def test_what_it_took_counts_with_the_attempts_before(processes: list[Process]) -> None:
    """As reported, or else as estimated."""
    one, _ = processes
    usage = Usage(input_tokens=30, output_tokens=4)
    record, writer = await begin(one)
    await one.runner.outside.complete(writer, result("Hello.", usage=usage))
    estimated, other_writer = await begin(one, "l")
    await one.runner.outside.complete(other_writer, result("Hello."))
    assert one.store.tokens_of(record.turn.id) == 34
    assert one.store.tokens_of(estimated.turn.id) == 12


@pytest.mark.parametrize(
    ("answers", "text", "error"),
    [
        ([{"draft_length": 0, "parts_version": 0}], "x", PayloadTooLargeError),
        ([{"draft_length": 0, "parts_version": 0}], "", None),
        ([{"draft_length": 5, "parts_version": 0}], "x", None),
        ([], "x", UnavailableError),
    ],
    ids=["no room", "nothing to write", "elsewhere", "held"],
)
async def test_a_write_that_the_store_did_not_take_says_why(
    processes: list[Process],
    answers: list[dict[str, int]],
    text: str,
    error: type[AppError] | None,
) -> None:
    """A draft that has stayed where it was has no more room."""
    one, _ = processes
    _, writer = await begin(one)
    whose: dict[str, Any] = {"turn_id": writer.turn_id, "is_ours": True, "cancel_requested": False}

    async def answer(_: Call) -> ExtendedTurns:
        return ExtendedTurns(turns=[ExtendedTurn(**whose, **each) for each in answers], running=1)

    one.store.faults["extend_turns"] = answer
    with pytest.raises(error) if error else nullcontext():
        await one.runner.outside.write(writer, offset=0, text=text)


async def test_parts_that_a_row_has_no_room_for_are_refused(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the turn goes on."""
    one, _ = processes
    _, writer = await begin(one)
    monkeypatch.setattr(outside, "MAX_PARTS_BYTES", 10)
    with pytest.raises(PayloadTooLargeError):
        await one.runner.outside.complete(writer, result("Hello."), parts=[SOURCE])
    assert [turn.status for turn in one.store.turns.values()] == ["running"]


async def test_an_end_is_stored_with_all_that_it_says(processes: list[Process]) -> None:
    """The native form, the request's own metadata; a summary may be due, where it was begun."""
    one, _ = processes
    one.runner.outside._summaries = summaries = Mock()
    native = {"framework": "any", "version": "1", "data": []}
    for key in "kl":
        record, writer = await begin(one, key, metadata={"mine": 1})
        done = await one.runner.outside.complete(writer, result("Hello.", native=native))
        assert done.reply is not None
        assert (done.reply.native, done.reply.metadata["mine"]) == (native, 1)
        assert "projectId" not in done.reply.metadata
        (given, reply), _ = summaries.after_reply.call_args
        assert (given.context, given.conversation.id) == (record.context, record.conversation.id)
        assert (given.context is not None, reply) == (True, "Hello.")


async def test_a_blank_end_is_a_failure_that_counts(processes: list[Process]) -> None:
    """As an engine's is."""
    one, _ = processes
    record, writer = await begin(one)
    usage = Usage(input_tokens=3, output_tokens=4)
    done = await one.runner.outside.complete(writer, result(" ", usage=usage))
    assert done.reply is not None
    assert (done.turn.status, done.reply.metadata["error"]["type"]) == ("failed", "empty_reply")
    assert one.store.tokens_of(record.turn.id) == 7


async def test_a_turn_that_is_not_there_is_not_found(processes: list[Process]) -> None:
    """Nor is another user's."""
    one, _ = processes
    _, writer = await begin(one)
    stranger = writer._replace(user_id=writer.turn_id)
    with pytest.raises(TurnNotFoundError):
        await one.runner.outside.write(stranger, offset=0, text="x")
    with pytest.raises(TurnNotFoundError):
        await one.runner.outside.complete(stranger, result("x"))
