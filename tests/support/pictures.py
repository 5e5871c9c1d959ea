"""Takes the README's pictures: of the page itself, on a stack of its own. `make pictures`."""

import asyncio

from playwright.async_api import Browser, Page, ViewportSize

from local.settings import ROOT
from local.stack import Stack
from tests.support.browser import page_stack, running_browser, visitor
from tests.support.picture_chats import write_chats
from tests.support.users import User, sign_up

IMAGES = ROOT / "docs" / "images"
DESK: ViewportSize = {"width": 1120, "height": 760}
PHONE: ViewportSize = {"width": 390, "height": 760}
LOOK = {"device_scale_factor": 2, "locale": "en-GB", "timezone_id": "Europe/London"}


async def take_pictures(stack: Stack) -> None:
    """Take each picture again."""
    user = await sign_up(stack, email="ada.lovelace@example.com")
    chat = write_chats(stack, user)
    async with running_browser() as browser:
        await at_the_desk(stack, browser, user, chat)
        await on_the_phone(stack, browser, user, chat)
    await user.functions.aclose()


async def at_the_desk(stack: Stack, browser: Browser, user: User, chat: str) -> None:
    """A conversation, and the figures."""
    async with visitor(browser, stack, viewport=DESK, color_scheme="light", **LOOK) as visit:
        page = await visit.sign_in(user, f"/#/c/{chat}")
        await page.locator(".uci-fold").wait_for()
        await page.locator(".hljs-keyword").first.wait_for()
        await page.get_by_role("button", name="Previous version").hover()
        await save(page, "conversation")
        await page.goto(f"{stack.settings.url}/#/analytics")
        await page.locator(".uplot canvas").wait_for()
        await save(page, "analytics")


async def on_the_phone(stack: Stack, browser: Browser, user: User, chat: str) -> None:
    """A search, in the dark."""
    async with visitor(browser, stack, viewport=PHONE, color_scheme="dark", **LOOK) as visit:
        page = await visit.sign_in(user, f"/#/c/{chat}")
        await page.get_by_label("Open the menu").click()
        await page.get_by_label("Search messages").fill("index")
        await page.locator(".hits mark").first.wait_for()
        await save(page, "search")


async def save(page: Page, name: str) -> None:
    """Save what is on the screen, once it stands still."""
    await page.evaluate("document.fonts.ready")
    await page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
    await page.screenshot(path=IMAGES / f"{name}.png", animations="disabled", caret="hide")


if __name__ == "__main__":
    with page_stack() as running:
        asyncio.run(take_pictures(running))
