"""Sessions of the OpenAI Agents SDK, by the SDK's own runner on a real stack.

The SDK is imported where it is needed: each worker collects this file, and only one runs it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from typing import TYPE_CHECKING, Any, cast

import pytest

from local.settings import ROOT
from shared import MessagePersistence
from shared.errors import StoreUnavailableError
from tests.support.fake_provider import Handler, running_provider, streaming
from tests.support.proxy import Proxy, drops_the_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import psycopg
    from agents.items import TResponseInputItem

    from local.stack import Stack
    from shared.sessions.openai_agents import StoredSession
    from tests.support.users import User

ITEMS = cast(
    "list[TResponseInputItem]",
    [
        {"role": "user", "content": "What is 1 + 2?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Add."}]},
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"a": 1.0, "b": 2}'},
        {"type": "function_call_output", "call_id": "c", "output": "3"},
        {
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "It is 3 \u0000\ud83d", "annotations": []}],
        },
    ],
)  # fmt: skip


@pytest.fixture
async def chat(stack: Stack) -> AsyncIterator[MessagePersistence]:
    """The library, on the stack."""
    async with library(stack.settings.url, stack) as chat:
        yield chat


def library(url: str, stack: Stack) -> MessagePersistence:
    """Return the library for a store at this address."""
    return MessagePersistence(url, stack.settings.keys.secret)


def session_of(chat: MessagePersistence, user: User, session_id: str = "") -> StoredSession:
    """Return a session, a new one unless it is named."""
    from shared.sessions.openai_agents import StoredSession

    return StoredSession(chat, user_id=user.id, session_id=session_id or str(uuid.uuid4()))


async def test_items_come_back_as_they_were_given(chat: MessagePersistence, user: User) -> None:
    """To the letter, with what Postgres can't hold; the newest of them if fewer are asked for.

    A result whose call is not among those is left out: providers refuse it.
    """
    session = session_of(chat, user, "any text is a session")
    await session.add_items(ITEMS)
    again = session_of(chat, user, "any text is a session")
    assert json.dumps(await again.get_items()) == json.dumps(ITEMS)
    assert json.dumps(await again.get_items(limit=2)) == json.dumps(ITEMS[-1:])
    loaded = (await user.load(str(session.conversation_id))).json()["messages"]
    assert [(row["role"], row["seq"]) for row in loaded][:2] == [("user", 1), ("assistant", 2)]
    assert loaded[0]["content"] == "What is 1 + 2?"
    assert [part["type"] for row in loaded for part in row["parts"]] == [
        "reasoning", "dynamic-tool", "dynamic-tool",
    ]  # fmt: skip


async def test_its_settings_are_those_of_the_sdks_sessions(
    chat: MessagePersistence, user: User
) -> None:
    """Always there, also given as a dict; what is none of them is refused."""
    from agents.memory import SessionSettings

    from shared.sessions.openai_agents import StoredSession

    place: dict[str, Any] = {"user_id": user.id, "session_id": "one"}
    limited = StoredSession(chat, **place, session_settings={"limit": 2})
    await limited.add_items(ITEMS)
    assert StoredSession(chat, **place).session_settings == SessionSettings()
    assert json.dumps(await limited.get_items()) == json.dumps(ITEMS[-1:])
    assert len(await limited.get_items(limit=5)) == 5
    assert await limited.get_items(limit=0) == []
    with pytest.raises(TypeError, match="most"):
        StoredSession(chat, **place, session_settings={"most": 2})


async def test_what_is_taken_back_stays_stored(chat: MessagePersistence, user: User) -> None:
    """Popped, added and popped again, cleared, and begun once more."""
    session = session_of(chat, user)
    assert await session.pop_item() is None
    one, two, three = (
        cast("TResponseInputItem", {"role": "user", "content": text}) for text in "abc"
    )
    await session.add_items([one, two])
    assert await session.pop_item() == two
    await session.add_items([three])
    assert await session.get_items() == [one, three]
    assert [await session.pop_item() for _ in range(3)] == [three, one, None]
    await session.add_items([two])
    await session.clear_session()
    assert await session.get_items() == []
    await session.add_items([three])
    assert await session.get_items() == [three]
    rows = (await user.load(str(session.conversation_id))).json()["messages"]
    assert [row["content"] for row in rows if row["role"] == "user"] == ["a", "b", "c", "b", "c"]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))


async def test_two_processes_pop_and_add_without_a_gap(
    chat: MessagePersistence, user: User
) -> None:
    """Each item is popped once, and batches stay together."""
    session = session_of(chat, user)
    batches = [
        [cast("TResponseInputItem", {"role": "user", "content": f"{n}.{k}"}) for k in range(3)]
        for n in range(8)
    ]
    await asyncio.gather(
        *(session_of(chat, user, session.session_id).add_items(batch) for batch in batches)
    )
    stored = [str(cast("Any", item)["content"]) for item in await session.get_items()]
    assert [text.split(".")[1] for text in stored] == ["0", "1", "2"] * 8
    popped = await asyncio.gather(
        *(session_of(chat, user, session.session_id).pop_item() for _ in range(24))
    )
    assert sorted(cast("Any", item)["content"] for item in popped) == sorted(stored)


@pytest.mark.promise("one key, one effect", red="rows that are there already are refused")
async def test_an_answer_that_is_lost_adds_nothing_twice(
    stack: Stack, user: User, proxy: Proxy
) -> None:
    """Repeated by the library itself, and by whoever tries again after its error."""
    async with library(proxy.url, stack) as chat:
        session = session_of(chat, user)
        proxy.on("append_messages", drops_the_answer)
        with pytest.raises(StoreUnavailableError):
            await session.add_items(ITEMS)
        proxy.heal()
        await session.add_items(ITEMS)
        assert json.dumps(await session.get_items()) == json.dumps(ITEMS)


async def test_another_users_conversation_is_not_found(
    chat: MessagePersistence, user: User, other_user: User
) -> None:
    """Neither read nor written."""
    session = session_of(chat, user)
    await session.add_items(ITEMS)
    theirs = session_of(chat, other_user, session.session_id)
    assert await theirs.get_items() == []
    with pytest.raises(Exception, match="Conversation not found"):
        await theirs.add_items(ITEMS)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def answer_with_a_tool(handler: Handler) -> None:
    """Call the tool, unless its result is there; refuse what real providers refuse."""
    said = handler.asked["messages"]
    calls = [call["id"] for one in said for call in one.get("tool_calls") or ()]
    results = [one["tool_call_id"] for one in said if one["role"] == "tool"]
    if calls != results:
        handler.send_json(400, {"error": {"message": "tool_calls must be answered"}})
    elif said[-1]["role"] == "tool":
        handler.send_message({"content": f"It is {said[-1]['content']}."})
    else:
        function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
        call = {"id": f"call_{len(calls)}", "type": "function", "function": function}
        handler.send_message({"content": None, "tool_calls": [call]}, "tool_calls")


async def test_the_sdks_runner_goes_on_with_what_is_stored(
    chat: MessagePersistence, user: User, db: psycopg.Connection
) -> None:
    """Two runs with a tool, and one after a call that was cut off before its result."""
    from agents import (
        Agent,
        OpenAIChatCompletionsModel,
        Runner,
        function_tool,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI

    set_tracing_disabled(disabled=True)
    with running_provider() as provider:
        provider.plan = answer_with_a_tool
        provider.answer = streaming("unused")
        client = AsyncOpenAI(base_url=provider.base_url, api_key="unused")
        agent = Agent(
            name="Adder",
            tools=[function_tool(add)],
            model=OpenAIChatCompletionsModel("any", openai_client=client),
        )
        session = session_of(chat, user)
        first = await Runner.run(agent, "What is 1 + 2?", session=session)
        again = session_of(chat, user, session.session_id)
        second = await Runner.run(agent, "And once more?", session=again)
        call = {"type": "function_call", "call_id": "cut", "name": "add", "arguments": "{}"}
        await again.add_items([cast("TResponseInputItem", call)])
        third = await Runner.run(agent, "Still there?", session=again)
    assert [run.final_output for run in (first, second, third)] == ["It is 3."] * 3
    rows = (await user.load(str(session.conversation_id))).json()["messages"]
    assert [row["content"] for row in rows if row["role"] == "user"] == [
        "What is 1 + 2?", "And once more?", "Still there?",
    ]  # fmt: skip


# The example as it stands; the fake provider speaks chat completions alone.
RUN = """
import runpy, sys
from agents import set_default_openai_api
set_default_openai_api("chat_completions")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


async def test_the_example_remembers(stack: Stack, user: User, tmp_path: Path) -> None:
    """Two processes, one session; the wheel's name stands for the package of this repository."""
    (tmp_path / "message_persistence").symlink_to(ROOT / "shared")
    with running_provider() as provider:
        provider.plan = answer_with_a_tool
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tmp_path),
            "SUPABASE_URL": stack.settings.url,
            "SUPABASE_SECRET_KEY": stack.settings.keys.secret,
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": "unused",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "OPENAI_DEFAULT_MODEL": "any",
        }
        said = [await _example(environment, user.id, text) for text in ("1 + 2?", "Again?")]
    assert said == ["It is 3.\n"] * 2
    asked = [one["content"] for one in provider.asked[-1]["messages"] if one["role"] == "user"]
    assert asked == ["1 + 2?", "Again?"]


async def _example(environment: dict[str, str], *arguments: str) -> str:
    user_id, text = arguments
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, str(ROOT / "examples/openai-agents/chat.py"),
        user_id, "one session", text,
        env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode()
