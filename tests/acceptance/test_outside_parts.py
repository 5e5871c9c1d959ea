"""Parts that a program outside writes on the way: as drafts, as docs/turns.md has it."""

from typing import Any

import pytest

from tests.support import outside_writer
from tests.support.outside_writer import Writer
from tests.support.sse import read_events

writer = outside_writer.writer

CALL: dict[str, Any] = {
    "type": "tool-search", "toolCallId": "1", "state": "input-available", "input": {"q": "x"},
}  # fmt: skip
FOUND = {**CALL, "state": "output-available", "output": [1.50]}
TEXTS = [{"type": "text", "text": "I look."}, {"type": "text", "text": "Found."}]
START: dict[str, Any] = {"offset": 0, "version": 0, "text": "I look.", "parts": [CALL]}


def place_of(written: dict[str, Any]) -> dict[str, int]:
    """Return where to go on, as a write has answered."""
    return {name: written[name] for name in ("offset", "version")}


async def write(writer: Writer, turn: dict[str, Any], **step: Any) -> dict[str, Any]:
    """Write once, and once more as if the answer was lost; return the answer."""
    answers = [await writer.step(turn, "write", **step) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    first, again = (answer.json() for answer in answers)
    assert again == first
    written: dict[str, Any] = first
    return written


async def test_parts_are_streamed_as_they_are_written(writer: Writer) -> None:
    """To whoever follows the turn, and as the open turn of its conversation."""
    turn = await writer.begin()
    written = (await writer.step(turn, "write", **START)).json()
    opened = (await writer.user.load(turn["conversationId"])).json()["openTurn"]
    seen: list[Any] = []
    query = {"turnId": turn["turnId"]}
    async with writer.user.functions.stream("GET", "/mega-mind", params=query) as answer:
        async for event in read_events(answer):
            if event.name not in {"delta", "part"}:
                continue
            seen.append(event.data.get("part") or event.data["text"])
            if seen[-1] == CALL:
                await writer.step(turn, "write", **place_of(written), parts=[FOUND])
            if seen[-1] == FOUND:
                await writer.step(turn, "complete")
    assert opened["draftParts"] == [TEXTS[0], CALL]
    assert seen == [{"type": "text"}, "I look.", CALL, FOUND]


@pytest.mark.promise("row sizes", red="the draft written whatever its size")
@pytest.mark.parametrize("kind", ["text", "parts"])
async def test_what_a_draft_has_no_room_for_is_refused(writer: Writer, kind: str) -> None:
    """And not left out in silence: the draft stays as it was, and can be completed."""
    turn = await writer.begin()
    large = "x" * 1_100_000
    piece = {"text": large} if kind == "text" else {"parts": [{"type": "data-x", "data": large}]}
    written = await write(writer, turn, offset=0, version=0, **piece)
    refused = await writer.step(turn, "write", **place_of(written), **piece)
    after = await write(writer, turn, **place_of(written))
    done = await writer.step(turn, "complete")
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    assert place_of(after) == place_of(written)
    assert done.json()["status"] == "completed"


async def test_an_end_has_no_room_for_more_than_a_reply_holds(writer: Writer) -> None:
    """What was written and what is given with its end are one reply; less of it is taken."""
    large = [{"type": "data-x", "data": "x" * 1_100_000}]
    turn = await writer.begin()
    await write(writer, turn, offset=0, parts=large)
    refused = await writer.step(turn, "complete", parts=large)
    done = await writer.step(turn, "complete", parts=[CALL])
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    assert done.json()["message"]["parts"] == [*large, CALL]


@pytest.mark.promise("strict input")
@pytest.mark.parametrize(
    "step",
    [
        {"parts": [{"type": "video"}]}, {"parts": [{**CALL, "state": "done"}]},
        {"parts": [[]]}, {"parts": [{"type": "step-start"}] * 1_001}, {"parts": {"a": 1}},
        {"version": -1}, {"version": 2**31}, {"version": "1"}, {"offset": 2**31}, {"part": CALL},
    ],
    ids=str,
)  # fmt: skip
async def test_what_is_no_part_is_refused(writer: Writer, step: dict[str, Any]) -> None:
    """With what is wrong, and nothing of it is written."""
    turn = await writer.begin()
    refused = await writer.step(turn, "write", **{"offset": 0, **step})
    written = await write(writer, turn, offset=0)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert place_of(written) == {"offset": 0, "version": 0}
