"""What axe finds on each view, in both themes, at a desk and on a phone."""

from typing import Literal

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from local.node import install_packages
from local.page import WEB
from local.stack import Stack
from tests.browser.test_parts import PARTS
from tests.support.browser import composer, visitor
from tests.support.chats import Said, write_chat
from tests.support.users import PASSWORD, User

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.promise("accessibility", red="figures can't be scrolled by keyboard"),
]

REPLY = """Compare it with its *reverse*:

```python path=palindrome.py
def is_palindrome(text: str) -> bool:
    return text == text[::-1]  # 1, "two"
```

| text | result |
|---|---|
| `Level` | [true](https://example.com) |

> A quote
"""
SAID = [
    Said("user", "A needle, please"),
    Said(
        "assistant",
        REPLY,
        {"engine": "offline", "files": [{"path": "palindrome.py"}]},
        "def is_palindrome",
    ),
    Said("system", "Summary of it"),
    Said("assistant", "It", {"success": False, "error": {"type": "x", "message": "Broken off."}}),
    Said("assistant", "Sunny", parts=PARTS),
]
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RUN = """
async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .filter(({ impact }) => ["serious", "critical"].includes(impact))
  .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) =>
    `${id}: ${html.slice(0, 200)} ${failureSummary.split("\\n")[1]}`))
"""


@pytest.fixture(scope="module")
def axe() -> str:
    """axe's own script, from the page's development packages."""
    install_packages(WEB, "ci")
    return (WEB / "node_modules" / "axe-core" / "axe.min.js").read_text()


class Inspector:
    """Looks at one view after the other and keeps what is found."""

    def __init__(self, page: Page, axe: str) -> None:
        self.page = page
        self.axe = axe
        self.found: list[str] = []

    async def look(self, view: str) -> None:
        """Note what is serious about the view as it is now, in each theme."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(self.axe)
        for theme in THEMES:
            await self.page.emulate_media(color_scheme=theme)
            await self.page.evaluate(
                "() => Promise.all(document.getAnimations().map((each) => each.finished))"
            )
            self.found += [f"{view}, {theme}: {each}" for each in await self.page.evaluate(RUN)]


async def test_no_view_at_a_desk_has_anything_serious(
    site: Stack, browser: Browser, visiting_user: User, axe: str
) -> None:
    """Signing in, nothing yet, a conversation, its menus and dialogs, a search, the archive."""
    async with visitor(browser, site) as visit:
        page = await visit.open()
        inspector = Inspector(page, axe)
        await page.get_by_label("E-mail").fill(visiting_user.email)
        await page.get_by_label("Password").fill("wrong password")
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("alert").wait_for()
        await inspector.look("sign in, refused")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await composer(page).wait_for()
        await expect(page.get_by_text("No conversations yet.")).to_be_visible()
        await inspector.look("empty")

        chat = write_chat(site, visiting_user, SAID, title="The needle")
        write_chat(site, visiting_user, SAID, title="Put away", archived=True)
        await page.goto(f"{site.settings.url}/#/c/{chat}")
        await page.reload()
        await page.locator(".hljs-keyword").first.wait_for()
        await inspector.look("conversation")
        await page.get_by_label("Search messages").fill("needle")
        await page.locator(".hits li").first.wait_for()
        await inspector.look("search results")
        await page.get_by_label("Search messages").fill("haystack")
        await expect(page.get_by_text("Nothing found")).to_be_visible()
        await inspector.look("nothing found")
        await page.get_by_label("Search messages").fill("")

        await page.get_by_label("More about The needle").click()
        await inspector.look("open menu")
        await page.get_by_role("menuitem", name="Rename").click()
        await inspector.look("rename")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Archive", exact=True).click()
        await page.get_by_role("link", name="Put away").click()
        await expect(page.locator(".badge")).to_be_visible()
        await inspector.look("archive")
        assert (await visiting_user.send("Count me")).status_code == 200
        await page.goto(f"{site.settings.url}/#/analytics")
        await page.locator(".figures").wait_for()
        await inspector.look("analytics")
    assert inspector.found == []


async def test_no_view_on_a_phone_has_anything_serious(
    site: Stack, browser: Browser, visiting_user: User, axe: str
) -> None:
    """A conversation, and the drawer over it."""
    chat = write_chat(site, visiting_user, SAID, title="The needle")
    phone: ViewportSize = {"width": 390, "height": 844}
    async with visitor(browser, site, viewport=phone, has_touch=True, is_mobile=True) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        inspector = Inspector(page, axe)
        await page.locator(".hljs-keyword").first.wait_for()
        await inspector.look("conversation")
        await page.get_by_label("Open the menu").click()
        await expect(page.get_by_role("link", name="The needle")).to_be_visible()
        await inspector.look("drawer")
        assert await page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
    assert inspector.found == []
    assert visit.problems == []
