"""Many switches between conversations leave the page as a fresh one would be."""

import re

import pytest
from playwright.async_api import Browser, Page, expect

from local.stack import Stack
from tests.support.browser import composer, replies, send, visitor
from tests.support.chats import Said, write_chat
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

SWITCHES = 13
# Every element with its attributes, but for what React and Radix number and what is measured.
VIEW = """
element => {
  const view = (node) => node.nodeType === Node.TEXT_NODE ? node.data : [
    node.localName,
    [...node.attributes].map(({ name, value }) => `${name}=${value}`)
      .filter((each) => !/^style=|radix|_r_/.test(each)).sort(),
    [...node.childNodes].map(view),
  ];
  return JSON.stringify(view(element), null, 1);
}
"""


async def view_of(page: Page) -> str:
    """Return the page as it stands."""
    return str(await page.locator(".workspace").evaluate(VIEW))


async def show(page: Page, chat: str) -> None:
    """Go to a conversation without loading the page again."""
    await page.evaluate("chat => { location.hash = `#/c/${chat}`; }", chat)


async def test_many_switches_leave_the_page_as_a_fresh_one(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Messages stay in sight, and nothing of one conversation is left in another."""
    chats = [
        write_chat(site, visiting_user, [Said("user", f"Only in {name}")], title=name)
        for name in ("one", "two", "three")
    ]
    async with visitor(browser, site) as visit, visitor(browser, site) as fresh:
        page = await visit.sign_in(visiting_user, f"/#/c/{chats[0]}")
        for number in range(SWITCHES):
            await show(page, chats[number % 3])
            message = page.locator(".uci-message").filter(has_text="Only in")
            await expect(message).to_have_text(
                re.compile(f"Only in {('one', 'two', 'three')[number % 3]}")
            )
        expected = await fresh.sign_in(visiting_user, f"/#/c/{chats[(SWITCHES - 1) % 3]}")
        await expect(expected.locator(".uci-message")).to_be_visible()
        await expect(expected.locator(".chat-header h1")).to_have_text("one")
        assert await view_of(page) == await view_of(expected)
    assert visit.problems == []


async def test_a_reply_that_is_written_stays_in_its_conversation(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Left while it is written, it is not seen elsewhere, and there it is when one comes back."""
    quiet = write_chat(site, visiting_user, [Said("user", "Nothing happens here")], title="quiet")
    async with visitor(browser, site) as visit, visitor(browser, site) as fresh:
        page = await visit.sign_in(visiting_user)
        await send(page, "Explain something at length")
        await page.locator(".uci-message-draft .uci-markdown").wait_for()
        busy = (await page.evaluate("location.hash")).removeprefix("#/c/")
        for _ in range(5):
            await show(page, quiet)
            await expect(page.get_by_text("Nothing happens here")).to_be_visible()
            await expect(page.locator(".uci-status")).to_have_text("")
            await expect(page.locator(".uci-message-draft")).to_have_count(0)
            await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
            await show(page, busy)
            await expect(page.get_by_text("Explain something at length").first).to_be_visible()
        await replies(page)
        await show(page, quiet)
        await expect(page.get_by_text("Nothing happens here")).to_be_visible()
        expected = await fresh.sign_in(visiting_user, f"/#/c/{quiet}")
        await expect(expected.get_by_text("Nothing happens here")).to_be_visible()
        await expect(expected.locator(".uci-conversation")).to_have_count(2)
        assert await view_of(page) == await view_of(expected)
        await expect(composer(page)).to_have_value("")
    assert visit.problems == []
