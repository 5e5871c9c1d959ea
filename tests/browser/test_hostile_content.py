"""Whatever a model or a title says, the page shows it and nothing of it happens."""

from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from local.stack import Stack
from tests.support.browser import Visitor, send, visitor
from tests.support.chats import Said, write_chat
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

ELSEWHERE = "http://elsewhere.example"
HACK = "window.hacked = 1"
MARKUP = [
    f'<img src=x onerror="{HACK}">before the image',
    f"<script>{HACK}</script>",
    "<style>body { display: none }</style>",
    f'<iframe src="{ELSEWHERE}/frame" srcdoc="<script>parent.hacked = 1</script>"></iframe>',
    f'<svg onload="{HACK}"><a xlink:href="javascript:{HACK}">svg</a></svg>',
    f'<form action="{ELSEWHERE}"><input name="password"><button>form</button></form>',
    f'<meta http-equiv="refresh" content="0; url={ELSEWHERE}"><base href="{ELSEWHERE}">',
    f"[run](javascript:{HACK}) [run](JaVaScRiPt:{HACK}) [run](java&#9;script:{HACK})",
    f"[data](data:text/html,<script>{HACK}</script>) [code](vbscript:{HACK}) [file](file:///etc)",
    f"![pixel]({ELSEWHERE}/pixel.png) ![][ref]\n\n[ref]: {ELSEWHERE}/ref.png",
    f"[good]({ELSEWHERE}/good) <{ELSEWHERE}/auto>",
    f"```html path=../../<img src=x onerror={HACK}>\n<script>{HACK}</script>\n```",
    f'```" onmouseover="{HACK}\ncode\n```',
    "# <a name=root id=root>clobbered</a><p id=constructor class=sidebar>styled</p>",
]
METADATA: list[dict[str, Any]] = [
    {"__proto__": {"success": False}, "constructor": {"prototype": 1}, "toString": None},
    {"success": False, "error": {"type": {"a": 1}, "message": ["b"]}, "engine": {"c": 2}},
    {"success": False, "error": "text", "files": {"length": 3}},
    {
        "success": False,
        "error": None,
        "files": [None, 1, {"path": {"d": 3}}, {"path": ""}],
    },
    {"success": "no", "engine": f"<img src=x onerror={HACK}>", "imported": "__proto__"},
    {"files": [{"path": f"../<img src=x onerror={HACK}>"}], "engine": "\u202eenigne"},
]
TOO_MUCH = [
    "x" * 1_000_000,
    "word " * 200_000,
    "a\n" * 29_000,
    "_a*" * 19_000,
    ">" * 20_000,
    "[" * 50_000,
]
SVG = f"<svg xmlns='http://www.w3.org/2000/svg' onload='{HACK}'><script>{HACK}</script></svg>"
TOOL = {"toolCallId": "1", "state": "output-available"}
HOSTILE_PARTS: list[dict[str, Any]] = [
    {"type": "reasoning", "text": f"thought <img src=x onerror='{HACK}'>"},
    {"type": f"tool-<script>{HACK}</script>", **TOOL, "input": MARKUP, "output": SVG},
    {"type": "dynamic-tool", "toolName": "\u202eloot", **TOOL, "errorText": f"<script>{HACK}"},
    {"type": "file", "mediaType": "image/png", "url": f"{ELSEWHERE}/pixel.png"},
    {"type": "file", "mediaType": "image/svg+xml", "url": f"data:image/svg+xml,{SVG}"},
    {"type": "file", "mediaType": "text/html", "url": f"data:text/html,<script>{HACK}</script>"},
    {"type": "file", "mediaType": "image/png", "url": f"javascript:{HACK}"},
    {"type": "file", "mediaType": "image/png", "url": f"data:text/html,<script>{HACK}</script>"},
    {"type": "file", "mediaType": "x/y", "url": "data:,x", "filename": f"../<img onerror={HACK}>"},
    {"type": "source-url", "sourceId": "1", "url": f"JaVaScRiPt:{HACK}", "title": "run"},
    {"type": "source-url", "sourceId": "2", "url": f"data:text/html,{SVG}", "title": "run"},
    {"type": "source-url", "sourceId": "3", "url": f"{ELSEWHERE}/<b>", "title": "<b>bold</b>"},
    {"type": "source-document", "sourceId": "4", "mediaType": "x", "title": f"<b>{HACK}</b>"},
    {"type": f"data-<iframe src={ELSEWHERE}>", "data": {"__proto__": 1, "toString": MARKUP}},
    *({"type": "text", "text": each} for each in MARKUP),
]
TITLE = f"<img src=x onerror={HACK}>\u202egnp.exe"


def openings(page: Page) -> Any:
    """Return what in a message could act by itself."""
    return page.locator(
        ".uci-list-item :is(script, style, iframe, img, svg a, form, object, embed,"
        " meta, base, link, input:not([type=checkbox]), [id], [onerror], [onload], [style])"
    )


async def assert_harmless(page: Page) -> None:
    """Nothing has run, and nothing that could is there."""
    await expect(openings(page)).to_have_count(0)
    assert await page.evaluate("window.hacked") is None
    targets = await page.locator("a").evaluate_all("links => links.map(link => link.protocol)")
    assert set(targets) <= {"http:", "https:", "mailto:"}
    outside = page.locator(f'a[href^="{ELSEWHERE}"]')
    assert all(
        "noopener" in rel
        for rel in await outside.evaluate_all("links => links.map(link => link.rel)")
    )


async def open_chat(visit: Visitor, user: User, chat: str) -> Page:
    """Sign in at a conversation and wait for its messages."""
    page = await visit.sign_in(user, f"/#/c/{chat}")
    await page.locator(".uci-message").first.wait_for()
    return page


@pytest.mark.promise("hostile content")
async def test_the_page_has_a_strict_policy(site: Stack) -> None:
    """Scripts, styles and requests are its own alone; nothing else is allowed at all."""
    async with httpx.AsyncClient(base_url=site.settings.url) as http:
        answer = await http.get("/", headers={"accept": "text/html"})
    rules = dict(
        rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; ")
    )
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.promise("hostile content", red="images shown as they come")
async def test_hostile_markup_is_shown_and_does_nothing(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """From the assistant, the user and the system alike; no request leaves, no rule is broken."""
    said = [Said(role, each) for each in MARKUP for role in ("assistant", "user", "system")]
    chat = write_chat(site, visiting_user, said)
    async with visitor(browser, site, viewport={"width": 1280, "height": 9000}) as visit:
        page = await open_chat(visit, visiting_user, chat)
        await expect(page.get_by_text("before the image").first).to_be_visible()
        await expect(page.get_by_role("link", name="good").first).to_be_visible()
        await expect(
            page.locator(".uci-message-user").filter(has_text="<iframe").first
        ).to_be_visible()
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 9000})
            await assert_harmless(page)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.problems == []


@pytest.mark.promise("hostile content", red="sources that link wherever they say")
async def test_hostile_parts_are_shown_and_do_nothing(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Tools, files, sources and data of any name: all opened, nothing runs or is asked for."""
    said = [Said(role, "text", parts=HOSTILE_PARTS) for role in ("assistant", "user")]
    chat = write_chat(site, visiting_user, said)
    async with visitor(browser, site, viewport={"width": 390, "height": 9000}) as visit:
        page = await open_chat(visit, visiting_user, chat)
        await expect(page.locator(".uci-fold")).to_have_count(8)
        await page.locator(".uci-fold summary").evaluate_all("all => all.map(each => each.click())")
        await expect(page.get_by_text("thought <img").first).to_be_visible()
        pictures = page.locator(".uci-file img")
        await expect(pictures).to_have_count(2)  # none of which a browser takes for a picture
        await pictures.evaluate_all("all => all.map(each => each.remove())")
        await assert_harmless(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert visit.problems == []


@pytest.mark.promise("hostile content", red="an engine's name taken as it is")
async def test_metadata_of_any_shape_is_shown_as_far_as_it_makes_sense(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Objects where text belongs, names of the prototype: each message is still there."""
    said = [
        Said("assistant", f"reply {number}", each, generated_code="code")
        for number, each in enumerate(METADATA)
    ]
    chat = write_chat(site, visiting_user, said)
    async with visitor(browser, site, viewport={"width": 1280, "height": 2000}) as visit:
        page = await open_chat(visit, visiting_user, chat)
        await expect(page.locator(".uci-message-body")).to_have_text(
            [f"reply {number}" for number in range(len(METADATA))]
        )
        await expect(page.locator(".uci-message-failure")).to_have_count(3)
        await expect(page.get_by_label("Generated files")).to_have_count(1)
        await assert_harmless(page)
    assert visit.problems == []


@pytest.mark.promise("hostile content")
async def test_a_hostile_title_is_text_wherever_it_is_shown(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """In the list, the header, a search, the menu, the dialogs and an exported file's name."""
    chat = write_chat(site, visiting_user, [Said("user", "a needle")], title=TITLE)
    async with visitor(browser, site) as visit:
        page = await open_chat(visit, visiting_user, chat)
        await expect(page.locator(".uci-conversation a")).to_have_text(TITLE)
        await expect(page.get_by_role("heading", level=1)).to_have_text(TITLE)
        await page.get_by_label("Search messages").fill("needle")
        await expect(page.locator(".hits strong")).to_have_text(TITLE)
        await page.get_by_label("Search messages").fill("")
        await page.get_by_label("More about").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await expect(page.get_by_role("dialog").locator("bdi")).to_have_text(TITLE)
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_label("Export").click()
        async with page.expect_download() as exported:
            await page.get_by_role("menuitem", name="Markdown").click()
        name = (await exported.value).suggested_filename
        assert name.endswith(".md")
        assert not set(name) & set("<>\u202e/\\")
        await assert_harmless(page)
    assert visit.problems == []


@pytest.mark.promise("hostile content")
async def test_direction_marks_stay_where_they_are(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """They turn no neighbour, and code that holds some says so."""
    code = "```python\nif admin: # \u202e } \u2066 check\n```"
    said = [
        Said("assistant", "\u202eturned\n\nnext"),
        Said("user", "\u202eturned"),
        Said("assistant", code),
    ]
    chat = write_chat(site, visiting_user, said)
    async with visitor(browser, site) as visit:
        page = await open_chat(visit, visiting_user, chat)
        await expect(page.locator(".uci-code-warning")).to_contain_text("change the order")
        isolated = await page.locator(".uci-message-body p").evaluate_all(
            "all => all.map(each => getComputedStyle(each).unicodeBidi)"
        )
        assert set(isolated) <= {"isolate", "plaintext", "isolate-override"}
    assert visit.problems == []


@pytest.mark.promise("hostile content", red="all markdown is parsed; any fence closes any other")
async def test_a_message_that_is_too_much_stays_a_message(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """A megabyte, or what costs a parser minutes: its beginning is there, and the page answers."""
    chats = {
        write_chat(site, visiting_user, [Said("assistant", text), Said("user", "after")]): text
        for text in TOO_MUCH
    }
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        for chat, text in chats.items():
            await page.goto(f"{site.settings.url}/#/c/{chat}")
            await expect(page.locator(".uci-message-user .uci-message-body")).to_have_text("after")
            shown = await page.locator(".uci-message-assistant .uci-message-body").inner_text()
            assert shown[:1] == text[:1]
            assert len(shown) < 130_000
        await send(page, "still here")
        await expect(page.get_by_text("still here").first).to_be_visible()
    assert visit.problems == []
