"""Versions on a small screen, and from right to left."""

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from local.stack import Stack
from tests.browser import test_accessibility
from tests.browser.test_accessibility import Inspector
from tests.browser.test_versions import answered, asked, version
from tests.browser.test_widths import assert_fits
from tests.support.browser import composer, messages_of, replies, send, visitor
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

axe = test_accessibility.axe


@pytest.mark.promise("accessibility")
async def test_versions_from_right_to_left_on_the_smallest_screen(
    site: Stack, browser: Browser, visiting_user: User, axe: str
) -> None:
    """In the dark: nothing serious, nothing wider than the window, text where it begins."""
    small: ViewportSize = {"width": 320, "height": 640}
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
