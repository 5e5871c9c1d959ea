"""Ten thousand messages in a browser: the newest at once, the rest as it is scrolled to."""

import asyncio
import os
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from local.stack import Stack
from tests.support.browser import send, visitor
from tests.support.chats import Said, write_chat, write_long_chat
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

MESSAGES = int(os.environ.get("PAGE_MESSAGES", "10000"))
MOST_ITEMS = 100
MOST_PIXELS = 3
LOADS = "**/functions/v1/load-conversation"

# Watches the gaps between frames until it is asked for them.
WATCH_FRAMES = """
() => {
  const gaps = [];
  let last = performance.now();
  const frame = (now) => {
    gaps.push(now - last);
    last = now;
    window.watched = requestAnimationFrame(frame);
  };
  window.watched = requestAnimationFrame(frame);
  window.gaps = () => (cancelAnimationFrame(window.watched), gaps.slice(1));
}
"""
# The first message that is wholly in view, and where it stands.
ANCHOR = """
() => {
  const top = document.querySelector(".uci-list").getBoundingClientRect().top;
  const items = [...document.querySelectorAll(".uci-list-item")]
    .filter((item) => item.getBoundingClientRect().top >= top)
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
  const name = items[0].querySelector(".uci-message-body").textContent.match(/Message \\d+/)[0];
  return { name, top: items[0].getBoundingClientRect().top };
}
"""


def message(page: Page, number: int) -> Locator:
    """Return one of the numbered messages."""
    body = page.locator(".uci-list-item .uci-message-body")
    return body.filter(has_text=re.compile(rf"^Message {number}(?!\d)"))


async def scroll_to(page: Page, top: int) -> None:
    """Scroll the list to a place and let it be laid out there."""
    await page.evaluate("top => { document.querySelector('.uci-list').scrollTop = top; }", top)
    await settled(page)


async def settled(page: Page) -> None:
    """Wait until the list has been of one height and place for some frames."""
    await page.evaluate(
        """() => new Promise((resolve) => {
          const list = document.querySelector(".uci-list");
          let seen = "", calm = 0;
          const look = () => {
            const now = `${list.scrollTop} ${list.scrollHeight}`;
            calm = now === seen ? calm + 1 : 0;
            seen = now;
            calm > 12 ? resolve() : requestAnimationFrame(look);
          };
          look();
        })"""
    )


@pytest.mark.promise("long conversations", red="200 messages kept around what is seen")
async def test_the_newest_are_there_at_once_and_the_rest_as_it_is_scrolled_to(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """One page is loaded to open; the DOM stays small; the frames are counted and reported."""
    chat = write_long_chat(site, visiting_user, MESSAGES)
    loads: list[Any] = []
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        page.on(
            "request",
            lambda request: (
                loads.append(request.post_data_json) if "load-conv" in request.url else None
            ),
        )
        begun = await page.evaluate("performance.now()")
        await page.goto(f"{site.settings.url}/#/c/{chat}")
        await expect(message(page, MESSAGES)).to_be_in_viewport()
        opened = await page.evaluate("performance.now()") - begun
        # What came after the newest is asked for once more when the topic is joined: nothing.
        pages = [load for load in loads if "after" not in load]
        assert all("before" in load for load in pages[1:])
        assert len(pages) <= 2

        await page.locator(".uci-list").hover()
        await page.evaluate(WATCH_FRAMES)
        while len(loads) < 8:
            await page.mouse.wheel(0, -600)
            assert await page.locator(".uci-list-item").count() < MOST_ITEMS
        gaps = sorted(await page.evaluate("window.gaps()"))
        await settled(page)
        assert await page.locator(".uci-list-item").count() < MOST_ITEMS
        await expect(message(page, MESSAGES)).to_have_count(0)

        await page.get_by_role("button", name="Go to the newest message").click()
        await expect(message(page, MESSAGES)).to_be_in_viewport()
    assert visit.problems == []
    p50, p95, worst = (gaps[int(len(gaps) * part)] for part in (0.5, 0.95, 0.9999))
    print(  # noqa: T201 - shown by pytest -s
        f"\n{MESSAGES} messages: the newest after {opened:.0f} ms; {len(gaps)} frames while"
        f" scrolling: p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst {worst:.0f} ms"
    )


@pytest.mark.promise("long conversations", red="anchored at its start")
async def test_scrolling_up_keeps_its_place(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """When older messages come in above, what is looked at does not move."""
    chat = write_long_chat(site, visiting_user, MESSAGES)
    gate = asyncio.Event()
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        held.set()
        await gate.wait()
        await route.continue_()

    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(message(page, MESSAGES)).to_be_in_viewport()
        await settled(page)
        await visit.context.route(LOADS, hold)
        for _ in range(3):
            await scroll_to(page, 300)
            await held.wait()
            before = await page.evaluate(ANCHOR)
            height = await page.evaluate("document.querySelector('.uci-list').scrollHeight")
            gate.set()
            await page.wait_for_function(
                "height => document.querySelector('.uci-list').scrollHeight > height", arg=height
            )
            await settled(page)
            anchor = message(page, int(before["name"].split()[1]))
            box = await anchor.locator("xpath=ancestor::*[@data-index]").bounding_box()
            assert box is not None
            assert abs(box["y"] - before["top"]) <= MOST_PIXELS
            gate.clear()
            held.clear()
        gate.set()
        await visit.context.unroute_all(behavior="wait")
    assert visit.problems == []


@pytest.mark.promise("long conversations", red="nothing loads newer messages on scrolling")
async def test_a_search_hit_opens_at_its_place_and_the_newest_is_one_step_away(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Around the hit, marked; on from there in both directions; then to the newest and on."""
    filler = [Said("user", f"Message {number}") for number in range(1, 401)]
    filler[149] = Said("user", "Message 150 with a needle")
    write_chat(site, visiting_user, filler)
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await page.get_by_label("Search messages").fill("needle")
        await page.locator(".hits a").click()
        hit = message(page, 150)
        await expect(hit).to_be_in_viewport()
        await expect(page.locator("[data-focused]")).to_have_text(re.compile("needle"))
        await settled(page)
        await expect(hit).to_be_in_viewport()

        await page.locator(".uci-list").hover()
        async with asyncio.timeout(60):
            while await message(page, 250).count() == 0:
                await page.mouse.wheel(0, 800)
        await page.get_by_role("button", name="Go to the newest message").click()
        await expect(message(page, 400)).to_be_in_viewport()
        await send(page, "And on")
        await expect(page.get_by_text("And on", exact=True).first).to_be_in_viewport()
    assert visit.problems == []
