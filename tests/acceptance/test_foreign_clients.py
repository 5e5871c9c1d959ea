"""Clients that nobody here wrote, unmodified: supabase-js and supabase-py."""

import asyncio
import json
import subprocess
from typing import Any

import pytest
from supabase import AsyncClient

from local.node import NODE
from local.stack import Stack
from tests.support.clients import install_clients
from tests.support.users import User

LIVE_STATUSES = ["accepted", "thinking", "generating", "saving", "idle"]


@pytest.fixture(scope="module")
def javascript(stack: Stack) -> dict[str, Any]:
    """What supabase-js saw in one run of application.mjs."""
    folder = install_clients()
    environment = stack.settings.environment()
    done = subprocess.run(
        [
            str(NODE),
            str(folder / "application.mjs"),
            environment["SUPABASE_URL"],
            environment["SUPABASE_PUBLISHABLE_KEY"],
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
    """Every status in order, and both committed messages."""
    assert javascript["joined"]["status"] == "SUBSCRIBED"
    assert _statuses(javascript["events"]) == LIVE_STATUSES
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


async def test_supabase_py_gets_a_turn_with_its_events_and_reads_its_rows(user: User) -> None:
    """The same in Python: invoke, private channel, select."""
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
    turn = await _invoke(client, "mega-mind", request="Hi", conversationId=conversation_id)
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
    assert _statuses(events) == LIVE_STATUSES
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


def _statuses(events: list[dict[str, Any]]) -> list[str]:
    return [e["payload"]["status"] for e in events if e["event"] == "status"]
