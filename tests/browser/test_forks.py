"""Versions in a long conversation, on a small screen, and from right to left."""

import re

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from local.stack import Stack
from tests.browser import test_accessibility
from tests.browser.test_accessibility import Inspector
from tests.browser.test_long_conversations import MOST_ITEMS, message, settled
from tests.browser.test_versions import answered, asked, version
from tests.browser.test_widths import assert_fits
from tests.support.browser import composer, messages_of, replies, send, visitor
from tests.support.chats import write_forked_chat
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

axe = test_accessibility.axe

MESSAGES = 10_000
FORKS = 50
APART = MESSAGES // FORKS - 4
NEWEST_FORK = FORKS * APART + 1  # the first message of the newest branch


def item(page: Page, number: int) -> Locator:
    """Return the whole of one of the numbered messages."""
    body = page.locator(".uci-message-body").filter(
        has_text=re.compile(rf"^Message {number}(?!\d)")
    )
    return page.locator(".uci-list-item").filter(has=body)


async def up_to(page: Page, number: int) -> None:
    """Scroll up until a message is in the page."""
    await page.locator(".uci-list").hover()
    while not await message(page, number).count():
        await page.mouse.wheel(0, -2_000)
        assert await page.locator(".uci-list-item").count() < MOST_ITEMS


async def test_ten_thousand_messages_with_fifty_forks_are_read_and_turned_over(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """The newest at once, a fork as it is scrolled to, and the path from there on both sides."""
    chat = write_forked_chat(site, visiting_user, MESSAGES, FORKS)
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(message(page, MESSAGES)).to_be_in_viewport()
        await up_to(page, NEWEST_FORK)
        await settled(page)
        fork = item(page, NEWEST_FORK)
        await version(page, fork, "2", "2")
        await expect(message(page, NEWEST_FORK - 1)).to_have_count(0)  # of the other branch
        await fork.get_by_role("button", name="Previous version").click()

        other = item(page, NEWEST_FORK - 4)
        await version(page, other, "1", "2")
        await expect(message(page, NEWEST_FORK - 1)).to_have_count(1)
        await expect(message(page, NEWEST_FORK)).to_have_count(0)
        await send(page, "On from here")
        await replies(page)
        await expect(page.get_by_text("On from here").first).to_be_in_viewport()
        await page.reload()
        await expect(page.get_by_text("On from here").first).to_be_in_viewport()
        await up_to(page, NEWEST_FORK - 4)
        await other.get_by_role("button", name="Next version").click()
        await expect(message(page, NEWEST_FORK)).to_have_count(1)
        await page.get_by_role("button", name="Go to the newest message").click()
        await expect(message(page, MESSAGES)).to_be_in_viewport()
    assert visit.problems == []


@pytest.mark.promise("accessibility")
async def test_versions_from_right_to_left_on_the_smallest_screen(
    site: Stack, browser: Browser, visiting_user: User, axe: str
) -> None:
    """In the dark: nothing serious, nothing wider than the window, text where it begins."""
    small = {"width": 320, "height": 640}
    async with visitor(
        browser, site, color_scheme="dark", viewport=small, has_touch=True, is_mobile=True
    ) as visit:
        page = await visit.sign_in(visiting_user)
        inspector = Inspector(page, axe)
        await send(page, "ما هي العاصمة؟")
        await replies(page)
        await answered(page).get_by_role("button", name="Answer once more").tap()
        await version(page, answered(page), "2", "2")
        await asked(page).get_by_role("button", name="Edit message").tap()
        field = page.get_by_label("Edited message")
        await expect(field).to_have_attribute("dir", "rtl")
        await inspector.look("editing")
        assert await page.evaluate("document.documentElement.scrollWidth") <= small["width"]
        await field.fill("وما هو البحر؟")
        await asked(page).get_by_role("button", name="Send").tap()
        await version(page, asked(page), "2", "2")
        await replies(page)
        await expect(composer(page)).to_be_enabled()
        await inspector.look("versions")
        await assert_fits(page, small["width"])
        direction = "element => getComputedStyle(element).direction"
        assert await messages_of(page).first.evaluate(direction) == "rtl"
    assert inspector.found == []
    assert visit.problems == []
