"""Everything that can be done on the page, by somebody who has no mouse."""

import uuid

import pytest
from playwright.async_api import Browser, Page, expect

from local.stack import Stack
from tests.support.browser import visitor
from tests.support.users import PASSWORD

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.promise(
        "accessibility", red="the field loses the focus once a conversation has an id"
    ),
]

MOST_TABS = 60
FOCUSED = """
() => {
  const element = document.activeElement;
  const label = element.labels?.[0]?.textContent ?? element.textContent;
  return (element.getAttribute("aria-label") ?? label ?? "").trim();
}
"""
OUTLINE = "() => getComputedStyle(document.activeElement.closest('.uci-composer, *')).outlineStyle"


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus."""
    passed = []
    for _ in range(MOST_TABS):
        passed.append(await page.evaluate(FOCUSED))
        if passed[-1].startswith(name):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"no {name!r} among {passed}")


async def press(page: Page, name: str) -> None:
    """Go to a button or a link by Tab and press it."""
    await tab_to(page, name)
    await page.keyboard.press("Enter")


async def choose(page: Page, menu: str, item: str) -> None:
    """Open a menu and pick an item by its first letter."""
    await press(page, menu)
    await expect(page.get_by_role("menuitem").first).to_be_focused()
    await page.keyboard.type(item[0])
    await expect(page.get_by_role("menuitem", name=item)).to_be_focused()
    await page.keyboard.press("Enter")


async def test_a_whole_visit_by_keyboard_alone(site: Stack, browser: Browser) -> None:
    """Sign up, send, stop, read, search, open the hit, rename, archive, restore, export, delete."""
    email = f"{uuid.uuid4().hex}@example.com"
    async with visitor(browser, site) as visit:
        page = await visit.open()
        await page.get_by_role("heading").wait_for()
        keys = page.keyboard
        await press(page, "Create an account")
        await keys.press("Shift+Tab")
        await tab_to(page, "E-mail")
        await keys.type(email)
        await tab_to(page, "Password")
        await keys.type(PASSWORD)
        await keys.press("Enter")

        await page.get_by_role("heading", name="What shall we work on?").wait_for()
        await tab_to(page, "Your message")
        await keys.type("A needle in a haystack, at length")
        await keys.press("Enter")
        await page.locator(".uci-message-draft .uci-markdown").wait_for()
        await keys.press("Escape")
        await expect(page.locator(".uci-message-failure")).to_contain_text("Stopped")
        await keys.type("And more of it")
        await keys.press("Enter")
        await expect(page.locator(".uci-message-assistant:not(.uci-message-draft)")).to_have_count(
            2
        )
        await keys.press("Shift+Tab")
        await tab_to(page, "Copy message")
        assert await page.evaluate(OUTLINE) != "none"

        await tab_to(page, "Search messages")
        await keys.type("needle")
        await page.locator(".hits li").first.wait_for()
        await press(page, "A needle in a haystack")
        await expect(page.locator("[data-focused]").first).to_be_in_viewport()
        await tab_to(page, "Search messages")
        await keys.press("Control+a")
        await keys.press("Delete")

        await choose(page, "More about", "Rename")
        await keys.type("Found")
        await keys.press("Enter")
        await expect(page.get_by_role("heading", name="Found")).to_be_visible()
        await expect(page.get_by_role("link", name="Found")).to_be_visible()
        await choose(page, "More about Found", "Archive")
        await expect(page.get_by_text("No conversations yet.")).to_be_visible()
        await press(page, "Archive")
        await expect(page.get_by_role("link", name="Found")).to_be_visible()
        await choose(page, "More about Found", "Restore")
        await expect(page.get_by_text("The archive is empty.")).to_be_visible()
        await press(page, "Back from the archive")
        await expect(page.get_by_role("link", name="Found")).to_be_visible()

        async with page.expect_download() as exported:
            await choose(page, "Export", "JSON")
        assert (await exported.value).suggested_filename.endswith(".json")
        await choose(page, "More about Found", "Delete")
        await tab_to(page, "Delete")
        await keys.press("Enter")
        await expect(page.get_by_text("No conversations yet.")).to_be_visible()
        await choose(page, email, "Sign out")
        await page.get_by_role("heading", name="Sign in").wait_for()
    assert visit.problems == []
