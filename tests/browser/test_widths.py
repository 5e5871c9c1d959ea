"""However long what is shown and however narrow the window: nothing is scrolled sideways."""

import pytest
from playwright.async_api import Browser, Page, expect

from local.stack import Stack
from tests.support.browser import composer, replies, visitor
from tests.support.chats import Said, write_chat
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

WIDTHS = (1280, 768, 390, 320)
WORD = "w" * 400
LONG = f"https://example.com/{'path/' * 60}"
WIDE = f"""# {WORD}

{LONG} `{WORD}` **{WORD}** <{WORD}>

- {WORD}

> {WORD}

```python path={WORD}.py
{WORD}
```

| {WORD} | b | c |
|---|---|---|
| a | {WORD} | {LONG} |

$$ {" + ".join("abcdefghij" * 12)} $$ and \\( {" + ".join("abcdefghij" * 12)} \\)

![{WORD}]({LONG}) [{WORD}]({LONG})
"""
FILES = [{"path": f"{WORD}.py"}, {"path": f"src/{WORD}.py"}]
SAID = [
    Said("user", f"{WORD} {LONG}"),
    Said("assistant", WIDE, {"engine": WORD, "filesGenerated": FILES}, "code"),
    Said("system", WORD),
    Said("assistant", "It", {"success": False, "error": {"type": "x", "message": WORD}}),
]
SCROLLED = "element => [element.scrollWidth, element.clientWidth]"


async def assert_fits_all(page: Page) -> None:
    """It fits windows of any width; it is left in the narrowest."""
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 3000})
        await assert_fits(page, width)


async def assert_fits(page: Page, width: int) -> None:
    """Nothing of the page is wider than the window, nor the list than its frame."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    for part in await page.locator(".stage, .uci, .uci-list, .uci-foot").all():
        scrolled, shown = await part.evaluate(SCROLLED)
        assert scrolled <= shown
    button = await page.get_by_role("button", name="Send").bounding_box()
    assert button
    assert button["x"] + button["width"] <= width


async def test_the_longest_of_everything_fits(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """A first suggestion, a long title, words without end, code, tables, formulas, errors."""
    title = "A title that goes on " * 9
    chat = write_chat(site, visiting_user, SAID, title=title)
    write_chat(site, visiting_user, SAID, title=WORD[:190])
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await assert_fits_all(page)
        await page.locator(".uci-welcome button").first.click()
        await replies(page)
        await assert_fits_all(page)
        await page.goto(f"{site.settings.url}/#/c/{chat}")
        await expect(page.locator(".katex").first).to_be_visible()
        await composer(page).fill(f"{WORD}\n{LONG}")
        await assert_fits_all(page)
        await page.get_by_label("Open the menu").click()
        await page.get_by_label("Search messages").fill(WORD[:100])
        await page.locator(".hits li").first.wait_for()
        await assert_fits_all(page)
    assert visit.problems == []
