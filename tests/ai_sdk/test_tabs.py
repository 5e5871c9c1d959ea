"""One chat on several pages of the AI SDK at once, and tools that a page runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from local.stack import Stack
from shared.ai.protocol import Engine
from tests.support.ai_sdk import AiSdkChat, ai_sdk_chat
from tests.support.bundle import settings_for
from tests.support.engines import TypingEngine
from tests.support.server import served_bundle
from tests.support.tool_engines import AskingEngine, LocatingEngine
from tests.support.users import User

PIECES = ["One, ", "two, ", "three."]
WHOLE = "".join(PIECES)

pytestmark = pytest.mark.parametrize("package", ["ai", "ai-6", "@ai-sdk/vue"])


@asynccontextmanager
async def two_tabs(
    stack: Stack, user: User, engine: Engine, package: str, chat_id: str
) -> AsyncIterator[list[AiSdkChat]]:
    """Serve an AI, and open a chat twice."""
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        ai_sdk_chat(url, user.token, chat_id, package=package) as tab,
        ai_sdk_chat(url, user.token, chat_id, package=package) as other,
    ):
        yield [tab, other]


@pytest.mark.parametrize(
    ("given", "said"),
    [({"output": "Bonn"}, "Bonn"), ({"state": "output-error", "errorText": "no net"}, "no net")],
)
async def test_a_tool_that_the_page_runs_is_answered_and_its_message_goes_on(
    stack: Stack, user: User, package: str, given: dict[str, str], said: str
) -> None:
    """With its result, or with why there is none; a reload shows the same message."""
    chat_id, engine = str(uuid4()), LocatingEngine()
    async with two_tabs(stack, user, engine, package, chat_id) as (tab, _):
        await tab.do("send", {"text": "Where am I?"})
        asking = await tab.do("settled")
        reloaded = await tab.do("open", chat_id)
        await tab.do("output", {"tool": "locate", "toolCallId": "locate-0", **given})
        await tab.do("until", f"You are in {said}.")
        shown = await tab.do("settled")
        loaded = await tab.do("open", chat_id)
    assert reloaded.messages[1] == asking.messages[1]
    assert (shown.status, shown.error) == ("ready", None)
    assert shown.messages[1] == loaded.messages[1]
    assert [part["type"] for part in loaded.messages[1]["parts"]] == [
        "text", "tool-locate", "step-start", "text",
    ]  # fmt: skip
    assert len(engine.asked) == 2


@pytest.mark.promise("safe retry")
@pytest.mark.parametrize("second", [True, False], ids=["alike", "otherwise"])
async def test_two_tabs_that_answer_at_once_have_one_effect(
    stack: Stack, user: User, package: str, second: bool
) -> None:
    """Both go on with the same reply; where they differ, one holds, and each reload shows it."""
    chat_id, engine = str(uuid4()), AskingEngine()
    async with two_tabs(stack, user, engine, package, chat_id) as tabs:
        await tabs[0].do("send", {"text": "Delete it"})
        await tabs[0].do("settled")
        await tabs[1].do("open", chat_id)
        answers = [{"id": "ask-1", "approved": approved} for approved in (True, second)]
        await asyncio.gather(
            *(tab.do("approve", answer) for tab, answer in zip(tabs, answers, strict=True))
        )
        shown = [await tab.do("settled") for tab in tabs]
        loaded = [await tab.do("open", chat_id) for tab in tabs]
    assert len(engine.asked) == 2
    assert loaded[0].messages == loaded[1].messages
    rows = (await user.load(chat_id)).json()["messages"]
    assert [row["role"] for row in rows] == ["user", "assistant", "user", "assistant"]
    ended = [page for page in shown if page.status == "ready"]
    assert len(ended) >= (2 if second else 1)
    assert {page.texts[1] for page in ended} == {loaded[0].texts[1]}


async def test_another_tab_stops_a_reply(stack: Stack, user: User, package: str) -> None:
    """Whoever reads it keeps what was written, which is what is stored."""
    chat_id, engine = str(uuid4()), TypingEngine(PIECES)
    async with two_tabs(stack, user, engine, package, chat_id) as (tab, other):
        await tab.do("send", {"text": "Count"})
        engine.allow(1)
        await tab.do("until", PIECES[0])
        await other.do("open", chat_id)
        await other.do("halt")
        left = await tab.do("settled")
        loaded = await other.do("open", chat_id)
    assert (left.status, left.texts) == ("ready", loaded.texts)
    assert loaded.texts == ["Count", PIECES[0]]


async def test_what_is_being_answered_is_followed_and_not_answered_twice(
    stack: Stack, user: User, package: str
) -> None:
    """Asked for once more by a tab that doesn't know; what else is asked for has to wait."""
    chat_id, engine = str(uuid4()), TypingEngine(PIECES)
    async with two_tabs(stack, user, engine, package, chat_id) as (tab, other):
        await tab.do("send", {"text": "Count"})
        engine.allow(1)
        await tab.do("until", PIECES[0])
        await other.do("open", chat_id)
        await other.do("send", {"text": "And on"})
        refused = await other.do("settled")
        await other.do("open", chat_id)
        await other.do("regenerate")
        await other.do("until", PIECES[0])
        engine.allow(3)
        shown = [await each.do("settled") for each in (tab, other)]
    assert refused.status == "error"
    assert "turn_in_progress" in (refused.error or "")
    assert [page.texts for page in shown] == [["Count", WHOLE]] * 2
    assert engine.runs == 1
    assert len((await user.load(chat_id)).json()["messages"]) == 2
