"""`useChat` of the registry's packages, in the page of examples/ai-sdk-vite, on a real stack."""

from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser, expect

from local.stack import Stack
from tests.support.ai_sdk_page import build_example, chat_browser
from tests.support.engines import TypingEngine
from tests.support.tool_engines import AskingEngine, CountingEngine
from tests.support.ui_messages import load
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

PIECES = ["One, ", "two, ", "three."]
WHOLE = "".join(PIECES)


@pytest.fixture(scope="module")
def built(site: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built."""
    folder = tmp_path_factory.mktemp("use-chat")
    build_example(site, folder)
    return folder


async def test_a_reload_in_mid_stream_and_another_tab_see_the_whole_reply(
    site: Stack, browser: Browser, visiting_user: User, built: Path
) -> None:
    """Each shows the text so far, goes on from there, and asks the AI nothing."""
    engine, chat_id = TypingEngine(PIECES), str(uuid4())
    async with chat_browser(browser, site, visiting_user, engine, built) as chats:
        tab = await chats.open(chat_id)
        await tab.send("Count")
        engine.allow(1)
        await expect(tab.messages).to_have_text(["Count", PIECES[0]])
        await tab.page.reload()
        other = await chats.open(chat_id)
        for each in (tab, other):
            await expect(each.messages).to_have_text(["Count", PIECES[0]])
        engine.allow(3)
        for each in (tab, other):
            await expect(each.messages).to_have_text(["Count", WHOLE])
            await expect(each.status).to_have_text("ready")
        await tab.page.reload()
        await expect(tab.messages).to_have_text(["Count", WHOLE])
    assert engine.runs == 1


async def test_a_reply_is_stopped_for_good(
    site: Stack, browser: Browser, visiting_user: User, built: Path
) -> None:
    """What it had written is shown, and is what a reload shows."""
    engine, chat_id = TypingEngine(PIECES), str(uuid4())
    async with chat_browser(browser, site, visiting_user, engine, built) as chats:
        tab = await chats.open(chat_id)
        await tab.send("Count")
        engine.allow(2)
        so_far = (PIECES[0] + PIECES[1]).strip()
        await expect(tab.messages).to_have_text(["Count", so_far])
        await tab.press("Stop")
        await expect(tab.status).to_have_text("ready")
        await tab.page.reload()
        await expect(tab.messages).to_have_text(["Count", so_far])
    stored = (await load(visiting_user.functions, chat_id))["messages"][-1]
    assert stored["metadata"]["error"]["type"] == "cancelled"


async def test_a_message_is_edited_and_its_reply_made_once_more(
    site: Stack, browser: Browser, visiting_user: User, built: Path
) -> None:
    """What is chosen last is what a reload shows; all of it is stored."""
    chat_id = str(uuid4())
    async with chat_browser(browser, site, visiting_user, CountingEngine(), built) as chats:
        tab = await chats.open(chat_id)
        await tab.send("One")
        await expect(tab.messages).to_have_text(["One", "One! (1)"])
        await tab.press("Regenerate")
        await expect(tab.messages).to_have_text(["One", "One! (2)"])
        await tab.press("Edit")
        await tab.send("Uno")
        await expect(tab.messages).to_have_text(["Uno", "Uno! (3)"])
        await tab.page.reload()
        await expect(tab.messages).to_have_text(["Uno", "Uno! (3)"])
        await tab.press("Regenerate")
        await expect(tab.messages).to_have_text(["Uno", "Uno! (4)"])
    rows = (await visiting_user.load(chat_id, view="all")).json()["messages"]
    assert [row["content"] for row in rows] == [
        "One", "One! (1)", "One! (2)", "Uno", "Uno! (3)", "Uno! (4)",
    ]  # fmt: skip


async def test_a_tool_asks_and_its_answer_is_shown_again_after_a_reload(
    site: Stack, browser: Browser, visiting_user: User, built: Path
) -> None:
    """The question waits through a reload, and the approval goes on where it was asked."""
    chat_id, engine = str(uuid4()), AskingEngine(hold=True)
    async with chat_browser(browser, site, visiting_user, engine, built) as chats:
        tab = await chats.open(chat_id)
        await tab.send("Delete it")
        question = ["Delete it", "Shall I?", "delete: approval-requestedApproveDeny"]
        await expect(tab.messages).to_have_text(question)
        await tab.page.reload()
        await expect(tab.messages).to_have_text(question)
        await tab.press("Approve")
        gone = 'delete: output-available"gone"'
        await expect(tab.messages).to_have_text(["Delete it", "Shall I?", gone])
        await tab.page.reload()
        await expect(tab.messages).to_have_text(["Delete it", "Shall I?", gone])
        engine.release.set()
        whole = ["Delete it", "Shall I?", gone, "Deleted."]
        await expect(tab.messages).to_have_text(whole)
        await expect(tab.status).to_have_text("ready")
        await tab.page.reload()
        await expect(tab.messages).to_have_text(whole)
    assert len(engine.asked) == 2
