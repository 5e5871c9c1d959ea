"""A process is killed while its agent waits for a tool, and the conversation goes on.

The next turn asks a provider that refuses, as real ones do, a call without its result.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.ai.history import NO_RESULT
from shared.encoding.parts import Part
from tests.faults.test_crash_points import QUICK
from tests.support.cut_agent import PARTS, TEXT
from tests.support.fake_provider import FakeProvider, running_provider, strictly
from tests.support.fault_turns import ask, turns_of
from tests.support.invariants import found_broken
from tests.support.process import begin_and_leave, functions_process
from tests.support.users import User
from tests.support.waiting import until

DRAFT = """
select t.attempt, t.draft, private.parts_of_draft(t.draft, t.draft_parts)
from turns as t where t.user_id = %s and t.status = 'running'
"""
FAILED = f'{{"error":"{NO_RESULT}"}}'
RESULTS = {"done": '{"sky":"clear"}', "cut": FAILED, "half": FAILED}
REPLIES = "select to_jsonb(m) from messages as m where user_id = %s and role <> 'user' order by seq"


def draft_of(db: psycopg.Connection, user: User) -> tuple[int, str, list[Part]] | None:
    """Return the draft of a user's running turn: attempt, text and parts."""
    return db.execute(DRAFT, (user.id,)).fetchone()


async def cut_off(stack: Stack, user: User, db: psycopg.Connection, folder: Path) -> str:
    """Kill a turn's process once all that its agent gave is stored; return the conversation."""
    engine = {"MEGA_MIND_ENGINE": "tests.support.cut_agent:agent"}
    async with functions_process(stack, folder, **QUICK, **engine) as doomed:
        turn = await begin_and_leave(doomed, user, "Is it cold?", key="k")
        await until(lambda: draft_of(db, user) == (1, TEXT, PARTS))
        doomed.process.kill()
        assert await doomed.process.wait() == -signal.SIGKILL
    row = db.execute("select conversation_id from turns where id = %s", (turn,)).fetchone()
    assert row is not None
    return str(row[0])


@asynccontextmanager
async def healthy_client(
    stack: Stack, user: User, folder: Path, provider: FakeProvider, *, is_framework: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """Run another process, which asks a provider: by our engine, or by a framework's agent."""
    ours = {
        "MEGA_MIND_MODEL": "openai:m",
        "MEGA_MIND_BASE_URL": provider.base_url,
        "MEGA_MIND_CLASSIFICATION": "rules",
    }
    framework = {
        "MEGA_MIND_ENGINE": "tests.support.framework_agent:agent",
        "PROVIDER_URL": provider.base_url,
    }
    engine = framework if is_framework else ours
    async with (
        functions_process(stack, folder, **QUICK, **engine) as process,
        process.client(user.token) as client,
    ):
        yield client


async def until_settled(client: httpx.AsyncClient, conversation: str) -> None:
    """Load the conversation until the lease of its turn is over."""
    async with asyncio.timeout(30):
        query = {"conversationId": conversation}
        while (await client.get("/load-conversation", params=query)).json()["openTurn"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def until_free(client: httpx.AsyncClient, conversation: str) -> httpx.Response:
    """Send the next message until the lease of the turn before it is over."""
    async with asyncio.timeout(30):
        sent = {"key": "next", "request": "And now?", "conversationId": conversation}
        while (answer := await ask(client, **sent)).status_code == 409:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return answer


def results_in(asked: dict[str, Any]) -> dict[str, str]:
    """Return what a provider is given as results of calls."""
    messages = asked["messages"]
    return {one["tool_call_id"]: one["content"] for one in messages if one["role"] == "tool"}


def replies_of(db: psycopg.Connection, user: User) -> list[dict[str, Any]]:
    """Return the rows of a user's replies, with all of their columns."""
    return [row for (row,) in db.execute(REPLIES, (user.id,))]


@pytest.mark.promise("take-over", red="a call that lacks its result is given an empty one")
@pytest.mark.parametrize(
    ("is_loaded", "is_framework"),
    [(True, False), (False, False), (False, True)],
    ids=["loaded first", "sent at once", "a framework's agent"],
)
async def test_a_conversation_goes_on_after_calls_that_were_cut_off(
    stack: Stack,
    user: User,
    db: psycopg.Connection,
    tmp_path: Path,
    *,
    is_loaded: bool,
    is_framework: bool,
) -> None:
    """The reply keeps its parts as they were, and a strict provider takes them twice."""
    conversation = await cut_off(stack, user, db, tmp_path)
    with running_provider() as provider:
        provider.answer = strictly("Fine.")
        async with healthy_client(
            stack, user, tmp_path, provider, is_framework=is_framework
        ) as client:
            if is_loaded:
                await until_settled(client, conversation)
            before = replies_of(db, user)
            answer = await until_free(client, conversation)
            more = await ask(client, "more", "And then?", conversationId=conversation)
    assert [said.json()["message"]["content"] for said in (answer, more)] == ["Fine."] * 2
    assert [results_in(asked) for asked in provider.asked] == [RESULTS, RESULTS]
    cut, *_ = after = replies_of(db, user)
    assert (cut["content"], cut["parts"]) == (TEXT, PARTS)
    assert cut["metadata"]["error"]["type"] == "interrupted"
    assert after[: len(before)] == before
    assert len(before) == is_loaded
    assert [status for status, *_ in turns_of(db, user)] == [
        "interrupted", "completed", "completed",
    ]  # fmt: skip
    assert [broken for broken in found_broken(db) if broken["user_id"] == user.id] == []
