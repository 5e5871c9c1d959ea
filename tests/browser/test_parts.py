"""What a message has beside its text, on the page: tools, reasoning, files, sources."""

import base64
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from local.stack import Stack
from shared.ai.protocol import PartReady
from tests.support.browser import replies, send, visitor
from tests.support.bundle import settings_for
from tests.support.chats import Said, write_chat
from tests.support.server import served_bundle
from tests.support.tool_engines import CALL, EVERYTHING, PlayingEngine
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

PICTURE = (  # of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
LETTER = base64.b64encode(b"Dear Ada").decode()
PARTS: list[dict[str, Any]] = [
    {"type": "reasoning", "text": "The user wants the weather."},
    {
        "type": "tool-weather",
        "toolCallId": "1",
        "state": "output-available",
        "input": {"city": "Paris"},
        "output": {"sky": "clear"},
    },
    {
        "type": "tool-book",
        "toolCallId": "2",
        "state": "output-error",
        "input": {},
        "errorText": "No seats.",
    },
    {"type": "text", "text": "It is **clear** in Paris."},
    {
        "type": "file",
        "mediaType": "image/png",
        "url": f"data:image/png;base64,{PICTURE}",
        "filename": "sky.png",
    },
    {
        "type": "file",
        "mediaType": "text/plain",
        "url": f"data:text/plain;base64,{LETTER}",
        "filename": "letter.txt",
    },
    {"type": "source-url", "sourceId": "3", "url": "https://weather.example/", "title": "Weather"},
]


async def test_a_messages_parts_are_seen_opened_and_taken_along(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """By keyboard too; a picture that came along is shown, a file is saved, text is copied."""
    reply = Said("assistant", "It is **clear** in Paris.", parts=PARTS)
    chat = write_chat(site, visiting_user, [Said("user", "And the weather?"), reply])
    async with visitor(browser, site) as visit:
        await visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        message = page.locator(".uci-message-assistant")
        await expect(message.locator("strong")).to_have_text("clear")
        await expect(message.get_by_text("The user wants")).to_be_hidden()
        await message.locator("summary", has_text="Reasoning").focus()
        await page.keyboard.press("Enter")
        await expect(message.get_by_text("The user wants")).to_be_visible()
        await message.locator("summary", has_text="weather").click()
        await expect(message.locator(".uci-code code").nth(1)).to_have_text(
            '{\n  "sky": "clear"\n}'
        )
        await message.locator("summary", has_text="book").click()
        await expect(message.get_by_text("No seats.")).to_be_visible()
        picture = message.get_by_role("img", name="sky.png")
        await expect(picture).to_be_visible()
        assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
        link = message.get_by_role("link", name="Weather")
        await expect(link).to_have_attribute("href", "https://weather.example/")
        async with page.expect_download() as saved:
            await message.get_by_role("button", name="Download letter.txt").click()
        assert (await (await saved.value).path()).read_bytes() == b"Dear Ada"
        await message.hover()
        await message.get_by_role("button", name="Copy message").click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == "It is **clear** in Paris."
    assert visit.problems == []


async def test_what_a_turn_does_is_seen_as_it_does_it(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Reasoning and a tool call that waits, also after a reload; its result takes their place."""
    engine = PlayingEngine(EVERYTHING, pause_at=1 + EVERYTHING.index(PartReady(CALL)))
    async with (
        served_bundle(settings_for(site), engine=engine) as functions,
        visitor(browser, site) as visit,
    ):

        async def answer(route: Route) -> None:
            await route.continue_(url=functions + route.request.url.split("/functions/v1")[1])

        await visit.context.route("**/functions/v1/**", answer)
        page = await visit.sign_in(visiting_user)
        await send(page, "How is the weather?")
        for _ in range(2):
            draft = page.locator(".uci-message-draft")
            await expect(draft.locator("summary", has_text="Reasoning")).to_be_visible()
            await expect(draft.get_by_text("I look it up.")).to_be_visible()
            tool = draft.locator("summary", has_text="weather")
            await expect(tool).to_contain_text("no result yet")
            await page.wait_for_url("**/#/c/*")
            await page.reload()
        engine.release.set()
        await replies(page)
        reply = page.locator(".uci-message-assistant")
        await expect(reply.locator("summary", has_text="weather")).to_contain_text("done")
        await expect(reply.get_by_text("It is 7 degrees.")).to_be_visible()
    assert visit.problems == []
