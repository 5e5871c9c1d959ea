"""Parts that a program outside writes on the way: as drafts, as docs/turns.md has it."""

import asyncio
from typing import Any

import psycopg
import pytest

from tests.acceptance.test_foreign_clients import _join as join
from tests.support import outside_writer
from tests.support.fault_turns import expire_leases, turns_of
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


async def test_a_later_form_of_a_call_takes_its_place(writer: Writer) -> None:
    """And text behind a call is a part of its own, also where each write is repeated."""
    turn = await writer.begin()
    written = await write(writer, turn, **START)
    assert place_of(written) == {"offset": 7, "version": 2}
    written = await write(writer, turn, **place_of(written), parts=[FOUND])
    written = await write(writer, turn, **place_of(written), text="Found.")
    done = (await writer.step(turn, "complete")).json()["message"]
    assert place_of(written) == {"offset": 15, "version": 4}
    assert (done["content"], done["parts"]) == (
        "I look.\n\nFound.", [TEXTS[0], FOUND, TEXTS[1]],
    )  # fmt: skip


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


async def test_live_events_carry_parts(writer: Writer) -> None:
    """As they carry those of every turn."""
    client = await writer.user.supabase()
    turn = await writer.begin()
    events: list[dict[str, Any]] = []
    status, _ = await join(client, turn["conversationId"], events.append)
    place = {"offset": 0, "version": 0}
    while not any(event["event"] == "part" for event in events):
        place = place_of((await writer.step(turn, "write", **place, parts=[CALL])).json())
        await asyncio.sleep(0.2)
    await client.remove_all_channels()
    payload = next(event["payload"] for event in events if event["event"] == "part")
    assert status == "SUBSCRIBED"
    assert (payload["turnId"], payload["attempt"]) == (turn["turnId"], 1)
    assert (payload["index"], payload["part"]) == (0, CALL)


@pytest.mark.promise("take-over")
async def test_parts_survive_a_writer_that_never_comes_back(
    writer: Writer, db: psycopg.Connection
) -> None:
    """A call that was cut off is stored as it was, and the next attempt begins without it."""
    left = await writer.begin("k")
    await write(writer, left, **START)
    expire_leases(db, writer.user)
    shown = (await writer.user.load(left["conversationId"])).json()
    again = await writer.begin("l", conversationId=left["conversationId"])
    await write(writer, again, **START)
    expire_leases(db, writer.user)
    taken = await writer.begin("l", conversationId=left["conversationId"])
    written = await write(writer, taken, offset=0, version=0)
    assert shown["messages"][1]["parts"] == [TEXTS[0], CALL]
    assert shown["messages"][1]["metadata"]["error"]["type"] == "interrupted"
    assert (taken["attempt"], place_of(written)) == (2, {"offset": 0, "version": 0})
    assert turns_of(db, writer.user) == [
        ("interrupted", 1, ["user", "assistant"]), ("running", 2, ["user"]),
    ]  # fmt: skip


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
