"""`useChat` of the registry's packages, in the page of examples/ai-sdk-vite, on a real stack."""

from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser, expect

from local.stack import Stack
from tests.support.ai_sdk_page import build_example, chat_browser
from tests.support.tool_engines import AskingEngine, CountingEngine
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def built(site: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built."""
    folder = tmp_path_factory.mktemp("use-chat")
    build_example(site, folder)
    return folder


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
