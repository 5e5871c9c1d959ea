"""Programs with the library die while a tool is called, and the conversation goes on.

The next turn asks providers that refuse what OpenAI's and Anthropic's refuse.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import repeat
from typing import Any

import psycopg
import pytest
from pydantic_ai import Agent
from pydantic_ai.models import Model

from local.settings import ROOT
from local.stack import Stack
from shared import MessagePersistence
from shared.ai.history import NO_RESULT
from shared.ai.model.messages import as_messages
from shared.errors import TurnInProgressError
from tests.faults.test_crash_points import QUICK
from tests.faults.test_cut_tool_calls import draft_of, replies_of
from tests.support.cut_agent import PARTS, TEXT
from tests.support.fake_provider import (
    SAID,
    FakeProvider,
    Handler,
    problem_of_calls,
    running_provider,
    strict_anthropic,
    strict_openai,
)
from tests.support.fault_turns import turns_of
from tests.support.invariants import found_broken
from tests.support.killed_writers import LibraryProgram
from tests.support.users import User
from tests.support.waiting import until


def weather(city: str) -> str:
    """Return the weather."""
    return f"Clear in {city}."


async def cut_off(stack: Stack, user: User, db: psycopg.Connection) -> str:
    """Kill a program between two calls of turn.add; return the conversation."""
    program = LibraryProgram(stack, QUICK, repeat(None))
    reasoning, _, *calls = PARTS
    pieces = [reasoning, TEXT, *({**call, "state": "input-streaming"} for call in calls), *calls]
    job = {"user_id": user.id, "key": "k", "request": "Is it cold?", "pieces": pieces}
    doing = asyncio.create_task(program.do({**job, "pause": 0.3}))
    await until(lambda: draft_of(db, user) == (1, TEXT, PARTS))
    program.kill()
    assert await doing is None
    row = db.execute("select id from conversations where user_id = %s", (user.id,)).fetchone()
    assert row is not None
    return str(row[0])


async def answer_next(chat: MessagePersistence, user: User, conversation: str, model: Model) -> str:
    """Write the next turn with an agent of pydantic-ai, once the lease before it is over."""
    agent = Agent(model, tools=[weather])
    async with asyncio.timeout(30):
        while True:
            try:
                async with chat.turn(
                    "And now?", user_id=user.id, conversation_id=conversation, key="next"
                ) as turn:
                    history = as_messages(turn.history)
                    said = await agent.run(turn.asked.text, message_history=history)
                    await turn.write(said.output)
            except TurnInProgressError:
                await asyncio.sleep(0.1)
            else:
                return turn.reply.content


@pytest.mark.promise("take-over", red="a call that lacks its result is given an empty one")
@pytest.mark.parametrize("strict", [strict_openai, strict_anthropic])
async def test_a_program_that_dies_while_a_tool_is_called_poisons_nothing(
    stack: Stack,
    user: User,
    db: psycopg.Connection,
    strict: Callable[[FakeProvider], Model],
) -> None:
    """What it added is stored as it was, and the calls are closed for the provider alone."""
    conversation = await cut_off(stack, user, db)
    keys = stack.settings.keys
    with running_provider() as provider:
        async with MessagePersistence(stack.settings.url, keys.secret) as chat:
            said = await answer_next(chat, user, conversation, strict(provider))
    cut, _ = replies_of(db, user)
    assert said == SAID
    assert (cut["content"], cut["parts"]) == (TEXT, PARTS)
    assert json.dumps(provider.asked[0]).count(NO_RESULT) == 2
    assert [status for status, *_ in turns_of(db, user)] == ["interrupted", "completed"]
    assert [broken for broken in found_broken(db) if broken["user_id"] == user.id] == []


def call_the_tool(place: str) -> Callable[[Handler], None]:
    """Return an answer that calls the tool once for each request, or refuses the conversation."""

    def answer(handler: Handler) -> None:
        said = handler.asked["messages"]
        if problem := problem_of_calls(handler.asked):
            handler.send_json(400, {"error": {"message": problem}})
        elif said[-1]["role"] == "tool":
            handler.send_message({"content": said[-1]["content"]})
        else:
            function = {"name": "look", "arguments": json.dumps({"place": place})}
            call = {"id": f"call_{len(said)}", "type": "function", "function": function}
            handler.send_message({"content": None, "tool_calls": [call]}, "tool_calls")

    return answer


async def run_agent(stack: Stack, user: User, url: str, *requests: str) -> tuple[int | None, str]:
    """Run the program with the Agents SDK; return its exit code, and what it printed."""
    environment = stack.settings.environment()
    known = {name: environment[name] for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.agents_writer", user.id, url, *requests),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **known, "LOG_LEVEL": "error"},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), timeout=90)
    return process.returncode, output.decode()


async def test_an_agent_that_dies_in_its_tool_goes_on_in_its_session(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """By the Agents SDK's own runner, which asks a provider with OpenAI's rules twice more."""
    with running_provider() as provider:
        provider.plan = call_the_tool("deadly")
        died, _ = await run_agent(stack, user, provider.base_url, "Look!")
        before = messages_of(db, user)
        provider.plan = call_the_tool("Rome")
        again = await run_agent(stack, user, provider.base_url, "2", "3")
    assert died == -signal.SIGKILL
    assert again == (0, "Nothing in Rome.\n" * 2)
    after = messages_of(db, user)
    assert after[: len(before)] == before
    assert [row["content"] for row in after if row["role"] == "user"][-2:] == ["2", "3"]
    assert [row["seq"] for row in after] == list(range(1, len(after) + 1))


def messages_of(db: psycopg.Connection, user: User) -> list[dict[str, Any]]:
    """Return the rows of a user's messages."""
    query = "select to_jsonb(m) from messages as m where user_id = %s order by seq"
    return [row for (row,) in db.execute(query, (user.id,))]
