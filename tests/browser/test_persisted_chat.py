"""The npm package's transport under `useChat`, in a browser on a real stack."""

from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser, expect

from local.stack import Stack
from tests.support.ai_sdk_page import build_example, chat_browser, with_our_transport
from tests.support.engines import TypingEngine
from tests.support.packed import built_transport
from tests.support.stack import shared_among_workers
from tests.support.tool_engines import CountingEngine
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

PIECES = ["One, ", "two, ", "three."]
WHOLE = "".join(PIECES)


@pytest.fixture(scope="module")
def built(site: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with the transport, built."""
    transport = built_transport(shared_among_workers(tmp_path_factory))
    folder = tmp_path_factory.mktemp("persisted")
    build_example(site, folder / "built", with_our_transport(folder, transport))
    return folder / "built"


@pytest.mark.promise("outbox")
async def test_what_was_not_sent_waits_through_a_reload_and_is_sent_once_by_two_tabs(
    site: Stack, browser: Browser, visiting_user: User, built: Path
) -> None:
    """Each tab shows it while it waits, and the one reply once it is sent."""
    engine, chat_id = CountingEngine(), str(uuid4())
    async with chat_browser(browser, site, visiting_user, engine, built) as chats:
        with chats.without_sending():
            tab = await chats.open(chat_id)
            await tab.send("Hello")
            await expect(tab.messages).to_have_text(["Hello"])
            await tab.page.reload()
            other = await chats.open(chat_id)
            for each in (tab, other):
                await expect(each.messages).to_have_text(["Hello"])
        for each in (tab, other):
            await expect(each.messages).to_have_text(["Hello", "Hello! (1)"], timeout=20_000)
            await expect(each.status).to_have_text("ready")
            await each.page.reload()
            await expect(each.messages).to_have_text(["Hello", "Hello! (1)"])
    assert engine.runs == 1
    assert len((await visiting_user.load(chat_id)).json()["messages"]) == 2


async def test_a_reload_before_any_answer_shows_what_was_sent_once(
    site: Stack, browser: Browser, visiting_user: User, built: Path
) -> None:
    """Stored, streamed and reloaded in its midst, again and again: one message and one reply."""
    engine, chat_id = TypingEngine(PIECES), str(uuid4())
    async with chat_browser(browser, site, visiting_user, engine, built) as chats:
        tab = await chats.open(chat_id)
        await tab.send("Count")
        await tab.page.reload()
        engine.allow(1)
        await expect(tab.messages).to_have_text(["Count", PIECES[0]], timeout=20_000)
        await tab.page.reload()
        await expect(tab.messages).to_have_text(["Count", PIECES[0]])
        engine.allow(3)
        await expect(tab.messages).to_have_text(["Count", WHOLE])
        await tab.press("Edit")
        await tab.send("Count on")
        await tab.page.reload()
        engine.allow(4)
        await expect(tab.messages).to_have_text(["Count on", WHOLE], timeout=20_000)
        await tab.page.reload()
        await expect(tab.messages).to_have_text(["Count on", WHOLE])
    assert engine.runs == 2
