"""What a reply's markdown looks like in a browser: mathematics above all."""

import pytest
from playwright.async_api import Browser, expect

from local.stack import Stack
from tests.support.browser import visitor
from tests.support.chats import Said, write_chat
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

MATHEMATICS = r"""
The root is \( x = \frac{1}{2} \) or $a_1$, for $5 or $10.

\[
E = m
  + c
\]

Not set: $\frac{a$ and $\href{javascript:hack}{b_1}$
"""
COPY_ALL = """
element => {
  getSelection().selectAllChildren(element);
  const clipboardData = new DataTransfer();
  const event = new ClipboardEvent("copy", { clipboardData, bubbles: true, cancelable: true });
  element.dispatchEvent(event);
  return clipboardData.getData("text/plain");
}
"""


async def test_mathematics_is_set_and_copied_as_its_source(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Prices stay prices, what can't be set is shown as written, and no rule of the page breaks."""
    chat = write_chat(site, visiting_user, [Said("assistant", MATHEMATICS)])
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(page.locator(".katex")).to_have_count(3)
        await expect(page.get_by_text("for $5 or $10.")).to_be_visible()
        await expect(page.locator(".uci-formula > code")).to_have_text(
            [r"$\frac{a$", r"$\href{javascript:hack}{b_1}$"]
        )
        fraction = page.locator(".mfrac").first
        box = await fraction.bounding_box()
        assert box is not None
        assert box["height"] > 15
        copied = await page.locator(".uci-markdown").evaluate(COPY_ALL)
        assert r"$ x = \frac{1}{2} $" in copied
        assert "$$E = m\n  + c$$" in copied
    assert visit.problems == []
