"""Parts of a reply: streamed, followed elsewhere, kept through a crash, and stored."""

import asyncio
from typing import Any

import pytest

from shared.ai.limits import Limited
from shared.ai.protocol import EngineEvent, EngineResult, PartReady, ReasoningDelta
from shared.encoding.files import GeneratedFile
from shared.encoding.sizes import MAX_PARTS_BYTES, stored_size
from shared.turns.draft import Draft
from shared.turns.reply import Reply, compose_reply
from tests.support.engines import TypingEngine
from tests.support.heart import USER, Process, Reading
from tests.support.in_memory_store import InMemoryStore
from tests.support.waiting import until

CALL = {
    "type": "tool-weather",
    "toolCallId": "c1",
    "state": "input-available",
    "input": {"at": "X"},
}
DONE = {**CALL, "state": "output-available", "output": 3}
STEPS: list[str | EngineEvent] = [
    ReasoningDelta("Which "),
    ReasoningDelta("city?"),
    "Let me look.",
    PartReady(CALL),
    PartReady(DONE),
    "It is cold.",
]
PARTS = [
    {"type": "reasoning", "text": "Which city?"},
    {"type": "text", "text": "Let me look."},
    DONE,
    {"type": "text", "text": "It is cold."},
]
CONTENT = "Let me look.\n\nIt is cold."


def parts_sent(reading: Reading) -> list[tuple[str, Any]]:
    """Return the parts that a stream has sent."""
    return [
        (event.name, event.data.get("part", event.data.get("text")))
        for event in reading.events
        if event.name in {"part", "part-delta"}
    ]


def parts_of(reading: Reading) -> list[dict[str, Any]]:
    """Put a reply together from its events, as a client does."""
    text, parts = "", {}
    for event in reading.events:
        data = event.data
        if event.name == "delta":
            text = text[: data["offset"]] + data["text"]
        elif event.name == "part":
            parts[data["index"]] = (data["offset"], dict(data["part"]))
        elif event.name == "part-delta":
            part = parts[data["index"]][1]
            part["text"] = part["text"][: data["offset"]] + data["text"]
    ends = [*(parts[index][0] for index in sorted(parts)), len(text)][1:]
    return [
        {**part, "text": text[offset:end]} if part["type"] == "text" else part
        for (offset, part), end in zip((parts[i] for i in sorted(parts)), ends, strict=True)
    ]


async def test_a_stream_tells_each_part_as_it_comes() -> None:
    """A later state takes the place of the former, reasoning grows, text is as ever."""
    engine = TypingEngine(STEPS)
    process = Process(InMemoryStore(), engine)
    reading = process.streaming()
    for _ in range(len(STEPS) + 1):
        engine.allow()
        await until(lambda: engine.permits.locked())
        await asyncio.sleep(0)
    await reading.task
    assert parts_of(reading) == PARTS
    assert reading.text() == CONTENT
    (message,) = (event.data for event in reading.events if event.name == "message")
    assert (message["content"], message["parts"]) == (CONTENT, PARTS)


async def test_a_reply_that_is_only_text_has_no_parts() -> None:
    """And no event of any."""
    engine = TypingEngine(["One, ", "two."])
    engine.allow(3)
    process = Process(InMemoryStore(), engine)
    reading = process.streaming()
    await reading.task
    assert parts_sent(reading) == []
    assert reading.events[-2].data["parts"] == []


async def test_another_process_follows_the_parts_that_are_stored() -> None:
    """And a crash keeps them: the interrupted reply has those that the last heartbeat wrote."""
    store, engine = InMemoryStore(), TypingEngine(STEPS)
    engine.allow(4)
    mine, other = Process(store, engine), Process(store)
    mine.streaming()
    await until(lambda: any(turn.draft_parts for turn in store.turns.values()))
    (turn,) = store.turns.values()
    reading = other.following(turn.id)
    await until(lambda: len(parts_sent(reading)) == 3)
    mine.die()
    await reading.task
    assert parts_of(reading) == [PARTS[0], PARTS[1], CALL]
    (message,) = (event.data for event in reading.events if event.name == "message")
    assert message["metadata"]["error"]["type"] == "interrupted"
    assert (message["content"], message["parts"]) == ("Let me look.", [PARTS[0], PARTS[1], CALL])


async def test_a_takeover_begins_without_the_parts_of_before() -> None:
    """What another attempt had found is no part of the reply."""
    store, engine = InMemoryStore(), TypingEngine(STEPS)
    engine.allow(4)
    dead = Process(store, engine)
    dead.asking()
    await until(lambda: any(turn.draft_parts for turn in store.turns.values()))
    dead.die()
    fresh = TypingEngine(["Anew."])
    fresh.allow(2)
    reading = Process(store, fresh).streaming()
    await reading.task
    (message,) = (event.data for event in reading.events if event.name == "message")
    assert (message["content"], message["parts"]) == ("Anew.", [])
    assert reading.attempts() == [1, 2]


def composed(written: Draft, **fields: Any) -> Reply:
    """Compose a good reply of this draft."""
    message = fields.pop("message", written.text)
    result = EngineResult(success=True, message=message, engine="unit", **fields)
    return compose_reply(result, parts=written.parts(), analysis=None, duration=0, own_metadata={})


def test_the_files_of_a_reply_are_parts_behind_its_text() -> None:
    """With their content in their address; the keys of the metadata stay as they are."""
    draft = Draft()
    draft.write("Here.")
    file = GeneratedFile(path="a/b.md", language="markdown", content="# Hé\n")
    reply = composed(draft, files=[file], message="Here.")
    text, part = reply.parts
    assert text == {"type": "text", "text": "Here."}
    assert (part["type"], part["mediaType"], part["filename"]) == (
        "file",
        "text/markdown",
        "a/b.md",
    )
    assert part["url"] == "data:text/markdown;charset=utf-8;base64,IyBIw6kK"
    assert reply.metadata["files"] == [{"path": "a/b.md", "language": "markdown"}]


def test_what_a_row_has_no_room_for_stays_out_of_it() -> None:
    """Text comes first, then parts, then a framework's own form."""
    draft = Draft()
    draft.add({"type": "data-large", "data": "x" * MAX_PARTS_BYTES})
    draft.write("Hi")
    native = {"framework": "any", "version": "1", "data": "y" * 1000}
    reply = composed(draft, native=native)
    assert (reply.content, reply.parts, reply.native) == ("Hi", [], native)
    native["data"] = "y" * 2_000_001
    assert composed(Draft(), message="Hi", native=native).native is None


def test_unstorable_text_is_escaped_in_parts_too() -> None:
    """And flagged."""
    draft = Draft()
    draft.write("a\x00")
    draft.add({**DONE, "output": {"b\x00": "\ud800"}})
    reply = composed(draft)
    assert reply.content == reply.parts[0]["text"] == "a\\u0000"
    assert reply.parts[1]["output"] == {"b\\u0000": "\\ud800"}
    assert reply.metadata["escaped"] is True


@pytest.mark.parametrize("part", [{"type": "video"}, {**CALL, "state": "done"}, "text"])
async def test_a_part_that_no_row_can_hold_costs_no_reply(part: Any) -> None:
    """It is left out; what else the engine says is stored."""
    engine = TypingEngine([PartReady(part), "Hi"])
    engine.allow(3)
    answer = await Process(InMemoryStore(), Limited(engine)).ask()
    assert answer.message.content == "Hi"
    assert answer.message.parts == []


async def test_a_reply_of_parts_alone_is_one() -> None:
    """A tool that waits to be allowed: no text, and no error either."""
    asking = {**CALL, "state": "approval-requested", "approval": {"id": "a"}}
    engine = TypingEngine([PartReady(asking)])
    engine.allow(2)
    answer = await Process(InMemoryStore(), Limited(engine)).ask()
    assert (answer.success, answer.message.content, answer.message.parts) == (True, "", [asking])


async def test_parts_and_text_have_one_limit_together() -> None:
    """A part that is too much ends the reply as cut; what came before it stays."""
    large = {"type": "data-a", "data": "x" * 1_500_000}
    engine = TypingEngine([PartReady(large), "Hi", PartReady({**large, "type": "data-b"})])
    engine.allow(4)
    answer = await Process(InMemoryStore(), Limited(engine, max_reply_chars=10**7)).ask()
    assert [part["type"] for part in answer.message.parts] == ["data-a", "text"]
    assert answer.message.metadata["finishReason"] == "length"
    assert stored_size(answer.message.parts) <= MAX_PARTS_BYTES


async def test_a_request_has_its_parts_and_the_engine_is_given_them() -> None:
    """The text is one of them, before the others where it has no place of its own."""
    store, engine = InMemoryStore(), TypingEngine([])
    engine.allow()
    file = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA=="}
    answer = await Process(store, engine).ask(parts=[file])
    assert answer.user_message is not None
    assert answer.user_message.parts == [{"type": "text", "text": "Hello"}, file]
    assert answer.user_message.user_id == USER
