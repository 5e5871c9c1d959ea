"""Clients that nobody here wrote, unmodified: supabase-js and supabase-py."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from supabase import AsyncClient

from local.node import NODE
from local.settings import ROOT
from local.stack import Stack
from tests.support.clients import install_clients
from tests.support.process import functions_process
from tests.support.users import User

COMMITTED = ["accepted", "idle"]
PASSING = ["thinking", "generating"]


@pytest.fixture(scope="module")
def javascript(stack: Stack) -> dict[str, Any]:
    """What supabase-js saw in one run of application.mjs."""
    return seen_by(stack, "application.mjs")


def seen_by(stack: Stack, script: str, *arguments: str) -> dict[str, Any]:
    """Run a script of tests/clients, and return what it printed."""
    environment = stack.settings.environment()
    done = subprocess.run(
        [
            str(NODE),
            str(install_clients() / script),
            environment["SUPABASE_URL"],
            environment["SUPABASE_PUBLISHABLE_KEY"],
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_supabase_js_gets_a_turn_and_reads_its_rows(javascript: dict[str, Any]) -> None:
    """functions.invoke answers with the very rows that from('messages').select gives."""
    turn, rows = javascript["turn"], javascript["messages"]
    assert turn["success"] is True
    assert [row["role"] for row in rows] == ["user", "assistant"]
    assert rows == [turn["userMessage"], turn["message"]]
    assert rows == javascript["loaded"]


def test_supabase_js_receives_the_whole_turn_on_the_private_channel(
    javascript: dict[str, Any],
) -> None:
    """The statuses and both messages that its commits send: it ended before any other is."""
    assert javascript["joined"]["status"] == "SUBSCRIBED"
    assert [s for s in statuses_of(javascript["events"]) if s in COMMITTED] == COMMITTED
    received = [e["payload"] for e in javascript["events"] if e["event"] == "message"]
    assert [(m["seq"], m["role"]) for m in received] == [(1, "user"), (2, "assistant")]
    assert [m["row"] for m in received] == javascript["messages"]
    assert {m["turnId"] for m in received} == {javascript["turn"]["turnId"]}


def test_supabase_js_of_another_user_is_refused_everywhere(javascript: dict[str, Any]) -> None:
    """The topic can't be joined, no row is seen, and the conversation isn't there."""
    assert javascript["refused"]["status"] == "CHANNEL_ERROR"
    assert "Unauthorized" in javascript["refused"]["reason"]
    assert javascript["unseen"] == []
    assert javascript["missing"] == 404


@pytest.mark.promise("whole pages", red="one page is read; a closed channel stays closed")
def test_the_lines_for_live_events_read_all_and_come_back_to_a_closed_channel(
    stack: Stack, tmp_path: Path
) -> None:
    """Of a conversation of 1,202 messages, each once; what came while nobody listened, too."""
    page = (ROOT / "docs" / "live-events.md").read_text()
    (lines,) = re.findall(r"^```js\n(.*?)^```", page, re.M | re.S)
    file = tmp_path / "lines.mjs"
    file.write_text(f"{lines}\nexport {{ conversationId, rows }};\n")
    seen = seen_by(stack, "live_events.mjs", str(file))
    assert seen["first"] == ["user", "assistant"]
    assert seen["seqs"] == list(range(1, 1_203))
    assert seen["joins"] == 3
    assert "message" in seen["events"]


def test_the_readmes_lines_stream_a_reply_and_read_what_is_stored(
    stack: Stack, tmp_path: Path
) -> None:
    """Unmodified supabase-js."""
    (lines,) = re.findall(
        r"^ {3}```js\n(.*?)^ {3}```", (ROOT / "README.md").read_text(), re.M | re.S
    )
    file = tmp_path / "lines.mjs"
    file.write_text(f"{dedent(lines)}\nexport {{ rows }};\n")
    seen = seen_by(stack, "lines.mjs", str(file))
    assert [row["role"] for row in seen["rows"]] == ["user", "assistant"]
    for name in ("accepted", "delta", "done"):
        assert f"event: {name}" in seen["logged"]


async def test_supabase_py_gets_a_turn_with_its_events_and_reads_its_rows(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """The same in Python, of a turn that takes its time: what passes comes too."""
    client = await user.supabase()
    conversation = await _invoke(client, "conversations", title="From Python")
    conversation_id = conversation["conversation"]["id"]
    events: list[dict[str, Any]] = []
    settled = asyncio.Event()

    def receive(event: dict[str, Any]) -> None:
        events.append(event)
        if event["payload"].get("status") in {"idle", "error"}:
            settled.set()

    status, _ = await _join(client, conversation_id, receive)
    async with (
        functions_process(stack, tmp_path, OFFLINE_DELAY="0.4") as server,
        server.client(user.token) as functions,
    ):
        asked = {"request": "Hi", "conversationId": conversation_id}
        turn = (await functions.post("/mega-mind", json=asked)).json()
        await asyncio.wait_for(settled.wait(), timeout=20)
    rows = (
        await client.from_("messages")
        .select("*")
        .eq("conversation_id", conversation_id)
        .order("created_at")
        .execute()
    ).data
    await client.realtime.close()
    assert status == "SUBSCRIBED"
    assert rows == [turn["userMessage"], turn["message"]]
    statuses = statuses_of(events)
    assert [status for status in statuses if status in COMMITTED] == COMMITTED
    assert [status for status in statuses if status not in COMMITTED] == PASSING
    assert statuses[-1] == "idle"
    assert [e["payload"]["seq"] for e in events if e["event"] == "message"] == [1, 2]


async def _invoke(client: AsyncClient, name: str, **body: Any) -> dict[str, Any]:
    answer = await client.functions.invoke(name, {"body": body, "responseType": "json"})
    assert isinstance(answer, dict)
    return answer


async def _join(client: AsyncClient, conversation_id: str, receive: Any) -> tuple[str, str]:
    options: Any = {"config": {"private": True}}  # the client fills in what it asks for
    channel = client.channel(f"conversation:{conversation_id}", options)
    outcome: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

    def note(status: Any, error: Exception | None) -> None:
        if not outcome.done():
            outcome.set_result((str(status.value), str(error or "")))

    await channel.on_broadcast("*", receive).subscribe(note)
    return await asyncio.wait_for(outcome, timeout=20)


def statuses_of(events: list[dict[str, Any]]) -> list[str]:
    """Return what the events say that the turn does."""
    return [e["payload"]["status"] for e in events if e["event"] == "status"]
