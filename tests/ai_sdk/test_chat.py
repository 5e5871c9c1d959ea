"""The AI SDK's own chat and transport, unmodified, in Node, on our endpoint."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from local.stack import Stack
from tests.support.ai_sdk import AiSdkChat, ai_sdk_chat
from tests.support.bundle import settings_for
from tests.support.engines import FailingEngine, ScriptedEngine, TypingEngine
from tests.support.server import served_bundle
from tests.support.tool_engines import EVERYTHING, AskingEngine, PlayingEngine
from tests.support.users import User

PIECES = ["One, ", "two, ", "three."]
WHOLE = "".join(PIECES)

pytestmark = pytest.mark.parametrize("package", ["ai", "ai-6"])


@pytest.fixture
def engine() -> TypingEngine:
    """An AI that writes as it is allowed to."""
    return TypingEngine(PIECES)


@pytest.fixture
async def url(stack: Stack, engine: TypingEngine) -> AsyncIterator[str]:
    """Where the functions are, with that AI."""
    async with served_bundle(settings_for(stack), engine=engine) as served:
        yield served


async def test_what_is_sent_is_streamed_and_loaded_as_it_was_shown(
    url: str, user: User, engine: TypingEngine, package: str
) -> None:
    """A page that opens the chat later shows the same parts and metadata."""
    chat_id = str(uuid4())
    engine.allow(4)
    async with ai_sdk_chat(url, user.token, chat_id, package=package) as chat:
        await chat.do("send", {"text": "Count"})
        shown = await chat.do("settled")
        loaded = await chat.do("open", chat_id)
    assert (shown.status, shown.error) == ("ready", None)
    assert shown.texts == loaded.texts == ["Count", WHOLE]
    assert shown.messages[1] == loaded.messages[1]


async def test_a_page_that_is_reloaded_in_mid_stream_sees_the_whole_reply(
    url: str, user: User, engine: TypingEngine, package: str
) -> None:
    """So does another tab; nobody is given anything once the turn has ended."""
    chat_id = str(uuid4())
    async with ai_sdk_chat(url, user.token, chat_id, package=package) as chat:
        await chat.do("send", {"text": "Count"})
        engine.allow(1)
        await chat.do("until", PIECES[0])
    pages = [ai_sdk_chat(url, user.token, chat_id, package=package) for _ in range(2)]
    async with pages[0] as reloaded, pages[1] as tab:
        for page in (reloaded, tab):
            await page.do("resume")
            await page.do("until", PIECES[0])
        engine.allow(3)
        shown = [await page.do("settled") for page in (reloaded, tab)]
        await tab.do("resume")
        again = await tab.do("settled")
    assert [page.texts for page in (*shown, again)] == [["Count", WHOLE]] * 3
    assert shown[0].messages == shown[1].messages == again.messages
    assert engine.runs == 1


async def test_to_stop_reading_stops_no_turn(
    url: str, user: User, engine: TypingEngine, package: str
) -> None:
    """The page shows what it has read; the stored reply is whole, and comes with the next load."""
    chat_id = str(uuid4())
    async with ai_sdk_chat(url, user.token, chat_id, package=package) as chat:
        await chat.do("send", {"text": "Count"})
        engine.allow(1)
        await chat.do("until", PIECES[0])
        left = await chat.do("stop")
        engine.allow(3)
        await chat.do("open", chat_id)
        await chat.do("resume")
        await chat.do("settled")
        shown = await chat.do("open", chat_id)
    assert (left.status, left.texts) == ("ready", ["Count", PIECES[0]])
    assert shown.texts == ["Count", WHOLE]


async def test_a_failed_reply_is_an_error_and_is_shown_as_it_is_stored(
    stack: Stack, user: User, package: str
) -> None:
    """`error` is set, and the message is the one that a reload shows."""
    chat_id = str(uuid4())
    async with (
        served_bundle(settings_for(stack), engine=FailingEngine()) as url,
        ai_sdk_chat(url, user.token, chat_id, package=package) as chat,
    ):
        await chat.do("send", {"text": "Count"})
        shown = await chat.do("settled")
        loaded = await chat.do("open", chat_id)
    assert (shown.status, shown.error) == ("error", "The AI provider could not answer.")
    assert shown.messages[1] == loaded.messages[1]


async def _said(chat: AiSdkChat, *texts: str) -> None:
    for text in texts:
        await chat.do("send", {"text": text})
        await chat.do("settled")


async def test_a_chat_of_any_id_is_a_conversation(stack: Stack, user: User, package: str) -> None:
    """The SDK's own short ids too; its messages come back under it."""
    async with (
        served_bundle(settings_for(stack), engine=ScriptedEngine("Yes.")) as url,
        ai_sdk_chat(url, user.token, "notes of today", package=package) as chat,
    ):
        await _said(chat, "One", "Two")
        loaded = await chat.do("open", "notes of today")
    assert loaded.texts == ["One", "Yes.", "Two", "Yes."]


def without_ids_of_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without what the SDK adds to reasoning, and stores nowhere."""
    parts = [
        {name: value for name, value in part.items() if name != "id"}
        if part["type"] == "reasoning"
        else part
        for part in message["parts"]
    ]
    return {**message, "parts": parts}


@pytest.mark.parametrize("pause_at", range(0, len(EVERYTHING), 3))
async def test_every_kind_of_part_is_shown_as_it_is_stored(
    stack: Stack, user: User, package: str, pause_at: int
) -> None:
    """As it streams, and where the page is reloaded in the midst of it, anywhere."""
    chat_id, engine = str(uuid4()), PlayingEngine(EVERYTHING, pause_at=pause_at)
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        ai_sdk_chat(url, user.token, chat_id, package=package) as chat,
    ):
        await chat.do("send", {"text": "How is the weather?"})
        paused = "submitted" if pause_at == 0 else "streaming"
        await chat.do("status", paused)
        async with ai_sdk_chat(url, user.token, chat_id, package=package) as reloaded:
            await reloaded.do("resume")
            await reloaded.do("status", paused)
            engine.release.set()
            shown = [await page.do("settled") for page in (chat, reloaded)]
            loaded = await reloaded.do("open", chat_id)
    assert [part["type"] for part in loaded.messages[1]["parts"]] == [
        "reasoning", "step-start", "text", "tool-weather", "dynamic-tool", "step-start", "text",
        "source-url", "file", "data-forecast", "text",
    ]  # fmt: skip
    for page in shown:
        assert (page.status, page.error) == ("ready", None)
        assert without_ids_of_reasoning(page.messages[1]) == loaded.messages[1]


@pytest.mark.parametrize(("approved", "said"), [(True, "Deleted."), (False, "Kept.")])
async def test_a_tool_that_asks_is_answered_and_its_message_goes_on(
    stack: Stack, user: User, package: str, approved: bool, said: str
) -> None:
    """One message on the page, before a reload and after it; the AI is told what was answered."""
    chat_id, engine = str(uuid4()), AskingEngine()
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        ai_sdk_chat(url, user.token, chat_id, package=package) as chat,
    ):
        await chat.do("send", {"text": "Delete it"})
        asking = await chat.do("settled")
        reloaded = await chat.do("open", chat_id)
        await chat.do("approve", {"id": "ask-1", "approved": approved, "reason": "Because."})
        await chat.do("until", said)
        shown = await chat.do("settled")
        loaded = await chat.do("open", chat_id)
    assert reloaded.messages[1] == asking.messages[1]
    assert asking.messages[1]["parts"][1]["state"] == "approval-requested"
    assert shown.messages[1] == loaded.messages[1]
    assert [part["type"] for part in loaded.messages[1]["parts"]] == [
        "text", "tool-delete", "step-start", "text",
    ]  # fmt: skip
    call = loaded.messages[1]["parts"][1]
    assert call["approval"] == {"id": "ask-1", "approved": approved, "reason": "Because."}
    assert call["state"] == ("output-available" if approved else "output-denied")
    assert len(engine.asked) == 2
    rows = (await user.load(chat_id)).json()["messages"]
    assert [row["role"] for row in rows] == ["user", "assistant", "user", "assistant"]
