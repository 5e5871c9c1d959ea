"""Turns that a program outside writes with the service key, as docs/turns.md has it."""

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from tests.acceptance.test_foreign_clients import seen_by
from tests.support import outside_writer
from tests.support.fault_turns import expire_leases, turns_of
from tests.support.outside_writer import Writer
from tests.support.strict_types import type_errors
from tests.support.ui_messages import resuming, text_of
from tests.support.users import User

writer = outside_writer.writer

LARGE = {"type": "data-x", "data": "x" * 3_000_000}
PAGE = ROOT / "docs" / "turns.md"


async def test_a_turn_is_begun_written_and_completed(
    writer: Writer, db: psycopg.Connection
) -> None:
    """Its reply is what was written, with what was given beside it."""
    turn = await writer.begin(metadata={"channel": "shop"})
    first = await writer.step(turn, "write", offset=0, text="Hé")
    second = await writer.step(turn, "write", offset=2, text="llo 🎉")
    done = await writer.step(
        turn, "complete", engine="mine:7b", intent="plan", complexity="simple", strategy="clarify",
        usage={"inputTokens": 30, "outputTokens": 4}, metadata={"tone": "warm"},
        files=[{"path": "a.py", "language": "python", "content": "x = 1\n"}],
    )  # fmt: skip
    assert (first.json()["offset"], second.json()["offset"]) == (2, 7)
    assert done.status_code == 200, done.text
    ended = done.json()
    assert (ended["status"], ended["message"]["content"]) == ("completed", "Héllo 🎉")
    metadata = ended["message"]["metadata"]
    given = {"channel": "shop", "tone": "warm", "engine": "mine:7b", "intent": "plan"}
    assert {name: metadata[name] for name in given} == given
    assert (metadata["success"], metadata["filesGenerated"]) == (True, 1)
    assert "x = 1" in ended["message"]["generated_code"]
    tokens = db.execute("select tokens from turns where id = %s", (turn["turnId"],)).fetchone()
    assert tokens == (34,)
    loaded = (await writer.user.load(turn["conversationId"])).json()
    assert loaded["messages"] == [ended["userMessage"], ended["message"]]


async def test_a_page_that_follows_a_turn_whose_writer_is_gone_has_no_other_ai_go_on(
    writer: Writer, db: psycopg.Connection
) -> None:
    """What the outside wrote is the reply, marked as interrupted."""
    turn = await writer.begin()
    await writer.step(turn, "write", offset=0, text="Half")
    expire_leases(db, writer.user)
    async with resuming(writer.user.functions, turn["conversationId"]) as chunks:
        seen = [chunk async for chunk in chunks]
    assert (text_of(seen), seen[-1]["type"]) == ("Half", "error")
    assert turns_of(db, writer.user) == [("interrupted", 1, ["user", "assistant"])]


async def test_a_reply_of_parts_is_stored_as_it_is(writer: Writer) -> None:
    """And comes back in the history of the next turn."""
    call = {"type": "tool-search", "toolCallId": "1", "state": "output-available"}
    parts = [{**call, "input": {"q": "x"}, "output": [1]}, {"type": "text", "text": "Found."}]
    turn = await writer.begin()
    done = (await writer.step(turn, "complete", parts=parts)).json()
    following = await writer.begin(conversationId=turn["conversationId"])
    wrong = await writer.step(following, "complete", content="Other.", parts=parts)
    assert (done["message"]["content"], done["message"]["parts"]) == ("Found.", parts)
    assert following["history"][1]["parts"] == parts
    assert wrong.status_code == 400


async def test_a_program_answers_an_edit_and_answers_once_more(writer: Writer) -> None:
    """Beside what was there, as mega-mind does; each has what came before it for a history."""
    first = await writer.begin(request="One?")
    one = (await writer.step(first, "complete", content="One.")).json()
    here = {"conversationId": first["conversationId"]}
    edit = await writer.begin(**here, request="Two?", edits=one["userMessage"]["id"])
    two = (await writer.step(edit, "complete", content="Two.")).json()
    again = await writer.begin(**here, regenerates=two["message"]["id"])
    await writer.step(again, "complete", content="2.")
    histories = [[row["content"] for row in turn["history"]] for turn in (edit, again)]
    assert histories == [[], []]
    shown = (await writer.user.load(first["conversationId"])).json()["messages"]
    assert [row["content"] for row in shown] == ["Two?", "2."]


@pytest.mark.promise("verified caller")
async def test_a_user_writes_no_turn(writer: Writer, db: psycopg.Connection) -> None:
    """Not even one's own: each step is for the service key."""
    turn = await writer.begin()
    own = writer.user.functions
    place = {"userId": writer.user.id, "attempt": 1}
    error = {"type": "timeout", "message": "Too long."}
    answers = [
        await own.post("/turns", json={"userId": writer.user.id, "request": "Hi"}),
        await own.post(f"/turns/{turn['turnId']}/write", json={**place, "offset": 0, "text": "x"}),
        await own.post(f"/turns/{turn['turnId']}/complete", json={**place, "content": "x"}),
        await own.post(f"/turns/{turn['turnId']}/fail", json={**place, "error": error}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert turns_of(db, writer.user) == [("running", 1, ["user"])]


async def test_a_turn_is_its_users(writer: Writer, other_user: User) -> None:
    """Another user named beside it finds none."""
    turn = await writer.begin()
    stranger = Writer(writer.http, other_user)
    answers = [
        await stranger.step(turn, "write", offset=0, text="x"),
        await stranger.step(turn, "complete", content="x"),
        await stranger.post("/turns", request="Hi", conversationId=turn["conversationId"]),
        await writer.post("/turns", request="Hi", userId=str(uuid4())),
    ]
    said = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert said == [
        (404, "turn_not_found"), (404, "turn_not_found"), (404, "conversation_not_found"),
        (404, "user_not_found"),
    ]  # fmt: skip


@pytest.mark.promise("strict input")
@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("", {"request": " "}),
        ("", {"request": "Hi", "userId": None}),
        ("", {"request": "Hi", "persistMessages": False}),
        ("", {"request": "Hi", "leaseSeconds": 0}),
        ("", {"request": "Hi", "role": "assistant"}),
        ("/{}/write", {"attempt": 1, "offset": -1}),
        ("/{}/write", {"attempt": 0, "offset": 0}),
        ("/{}/write", {"attempt": 1, "offset": 0, "text": "a\x00b"}),
        ("/{}/write", {"attempt": 1, "offset": 2**40, "text": "a"}),
        ("/{}/write", {"attempt": 1, "offset": 0, "text": "x" * 3_000_000}),
        ("/{}/write", {"attempt": 1, "offset": 0, "parts": [LARGE]}),
        ("/{}/complete", {"attempt": 1, "content": " "}),
        ("/{}/complete", {"attempt": 1, "content": "x" * 3_000_000}),
        ("/{}/complete", {"attempt": 1, "parts": [LARGE]}),
        ("/{}/complete", {"attempt": 1, "parts": [{"type": "video"}]}),
        ("/{}/complete", {"attempt": 1, "content": "x", "metadata": {"success": True}}),
        ("/{}/complete", {"attempt": 1, "content": "x", "intent": "plan"}),
        ("/{}/fail", {"attempt": 1}),
        ("/{}/fail", {"attempt": 1, "error": {"type": "Not a word", "message": "x"}}),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_wrong_is_refused_and_changes_nothing(
    writer: Writer, db: psycopg.Connection, step: str, body: dict[str, Any]
) -> None:
    """With 400, and what is wrong with it."""
    turn = await writer.begin()
    answer = await writer.post("/turns" + step.format(turn["turnId"]), **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert turns_of(db, writer.user) == [("running", 1, ["user"])]


def test_the_documents_lines_write_turns_in_typescript(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """Replayed, in order, failed: as docs/turns.md writes them, strictly typed, by fetch alone."""
    (lines,) = re.findall(r"^```ts\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    file = tmp_path / "lines.ts"
    file.write_text(lines)
    assert type_errors(file) == ""
    secret_key = stack.settings.environment()["SUPABASE_SECRET_KEY"]
    seen = seen_by(stack, "turns.mjs", secret_key, user.id, str(file))
    contents = [seen[name]["content"] for name in ("first", "again", "second", "last")]
    assert contents == ["After 0: Hello 🎉", "After 0: Hello 🎉", "After 2: More 🎉", "Half"]
    assert seen["failed"] == "broken"
    assert seen["tools"]["content"] == "I look.\n\nFound."
    assert [part["type"] for part in seen["tools"]["parts"]] == ["text", "tool-search", "text"]
    assert seen["tools"]["parts"][1]["output"] == [1]
    ended = [status for status, *_ in turns_of(db, user)]
    assert ended == ["completed", "completed", "failed", "completed"]
