"""Parts, from a request to the row, the stream, the exports and back."""

from typing import Any

import psycopg
import pytest

from local.stack import Stack
from shared.ai.protocol import EngineEvent, PartReady, ReasoningDelta
from tests.support.bundle import bundle, settings_for
from tests.support.engines import TypingEngine
from tests.support.sse import read_events
from tests.support.users import User

CALL = {
    "type": "tool-weather",
    "toolCallId": "c1",
    "state": "input-available",
    "input": {"at": "X"},
}
DONE = {**CALL, "state": "output-available", "output": {"degrees": 3}}
SOURCE = {"type": "source-url", "sourceId": "s", "url": "https://x.example/w", "title": "Weather"}
FILE = {
    "type": "file", "mediaType": "image/png", "filename": "a.png",
    "url": "data:image/png;base64,AA==", "providerMetadata": {"any": {"id": 1}},
}  # fmt: skip
STEPS: list[str | EngineEvent] = [
    ReasoningDelta("Hm."),
    "Let me look.",
    PartReady(CALL),
    PartReady(DONE),
    "Cold.",
]
REPLY = [
    {"type": "reasoning", "text": "Hm."},
    {"type": "text", "text": "Let me look."},
    DONE,
    {"type": "text", "text": "Cold."},
]


async def test_a_turn_with_parts_goes_all_the_way_and_back(stack: Stack, user: User) -> None:
    """Stream, rows, JSON, Markdown, and an import that is the same again."""
    engine = TypingEngine([*STEPS, PartReady(SOURCE)])
    engine.allow(len(STEPS) + 2)
    headers = {"accept": "text/event-stream"}
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        body = {"request": "Is it cold?", "parts": [FILE]}
        answer = await client.post("/mega-mind", json=body, headers=headers)
        events = [event async for event in read_events(answer)]
    conversation = events[0].data["conversationId"]
    loaded = (await user.load(conversation)).json()["messages"]
    assert [row["parts"] for row in loaded] == [
        [{"type": "text", "text": "Is it cold?"}, FILE],
        [*REPLY, SOURCE],
    ]
    assert loaded[1]["content"] == "Let me look.\n\nCold."
    parts = [event.data["part"] for event in events if event.name == "part"]
    assert {DONE["toolCallId"], "s"} <= {
        part.get("toolCallId") or part.get("sourceId") for part in parts
    }
    assert events[-2].data == loaded[1]

    query = {"conversationId": conversation}
    markdown = (
        await user.functions.get("/export-conversation", params={**query, "format": "markdown"})
    ).text
    for words in (
        "Attached: **a.png**",
        "Tool: **weather**",
        '{"degrees":3}',
        "Hm.",
        "x.example/w",
    ):
        assert words in markdown
    await _comes_back_as_it_was(user, query)


async def _comes_back_as_it_was(user: User, query: dict[str, str]) -> None:
    exported = await user.functions.get("/export-conversation", params=query)
    await user.functions.delete(f"/conversations/{query['conversationId']}")
    answer = await user.functions.post(
        "/import-conversation",
        content=exported.content,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    (taken,) = answer.json()["taken"]
    copy = {"conversationId": taken["conversationId"]}
    again = (await user.functions.get("/export-conversation", params=copy)).json()
    document = exported.json()
    assert again["checksum"] == document["checksum"]
    assert [row["parts"] for row in again["messages"]] == [
        row["parts"] for row in document["messages"]
    ]


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ("text", "parts"),
        ([{"type": "video"}], "type"),
        ([{"type": "file", "mediaType": "image/png"}], "url"),
        ([DONE], "text, file or data-name"),
        ([{"type": "reasoning", "text": "I said so"}], "text, file or data-name"),
        ([{"type": "text", "text": "Another"}], "should be the request"),
        ([{"type": "data-x", "data": "x" * 2_000_000}], "2000000 bytes"),
        ([{"type": "data-x", "data": 1}] * 1001, "1000"),
    ],
    ids=["no list", "unknown", "no url", "tool", "reasoning", "other text", "size", "number"],
)
async def test_parts_that_can_not_be_a_users_are_refused(
    user: User, db: psycopg.Connection, parts: Any, named: str
) -> None:
    """With a 400 that says what is wrong; nothing is stored."""
    answer = await user.functions.post("/mega-mind", json={"request": "Hello", "parts": parts})
    assert answer.status_code == 400
    assert named in answer.text
    row = db.execute("select count(*) from messages where user_id = %s", (user.id,)).fetchone()
    assert row == (0,)
