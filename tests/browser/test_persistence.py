"""The promise, seen in a real browser: whatever happens to the page or the stack, all is there."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from local.stack import Stack
from tests.support.browser import (
    messages_of,
    page_stack,
    replies,
    send,
    visitor,
)
from tests.support.users import User, make_user

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def own_site() -> Iterator[Stack]:
    """A stack with the page; killed and started at will."""
    with page_stack() as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def reader(own_site: Stack) -> AsyncIterator[User]:
    """A new user."""
    signed_up = await make_user(own_site)
    yield signed_up
    await signed_up.functions.aclose()


def stored(stack: Stack, user: User) -> list[tuple[str, str]]:
    """Return the user's messages as the database has them."""
    with psycopg.connect(stack.settings.db_url) as db:
        return db.execute(
            "select role, content from messages where user_id = %s order by created_at", (user.id,)
        ).fetchall()


async def test_a_reply_goes_on_through_a_reload_and_all_is_there_after_a_crash(
    own_site: Stack, browser: Browser, reader: User
) -> None:
    """Reload while it writes: it goes on and ends. Kill the stack: everything is still there."""
    async with visitor(browser, own_site) as visit:
        page = await visit.sign_in(reader)
        await send(page, "Write a Python function that adds two numbers, at length")
        draft = page.locator(".uci-message-draft .uci-markdown")
        await draft.wait_for()
        before = await draft.inner_text()
        await page.reload()
        await expect(page.locator(".uci-message-assistant .uci-markdown")).to_contain_text(
            before[:40]
        )
        (reply,) = await replies(page)
        (question, answer) = stored(own_site, reader)
        assert await messages_of(page).all_inner_texts() == [question[1]]
        assert "offline engine" in reply
        assert reply.split()[0] == answer[1].split()[0]

        await asyncio.to_thread(own_site.down)
        await asyncio.to_thread(own_site.up)
        await page.reload()
        assert await replies(page) == [reply]
        await send(page, "And again")
        assert len(await replies(page, 2)) == 2
    assert visit.problems == []
    assert [role for role, _ in stored(own_site, reader)] == ["user", "assistant"] * 2


async def test_two_tabs_stay_the_same_and_another_user_sees_nothing(
    own_site: Stack, browser: Browser, reader: User
) -> None:
    """What one tab sends is seen in the other, while it is written and after."""
    other = await make_user(own_site)
    async with visitor(browser, own_site) as visit, visitor(browser, own_site) as stranger:
        first = await visit.sign_in(reader)
        await send(first, "One")
        await replies(first)
        path = await first.evaluate("location.hash")
        second = await visit.open(f"/{path}")
        await replies(second)
        await send(first, "Two, at length")
        await second.locator(".uci-message-draft .uci-markdown").wait_for()
        await send(second, "Three")
        assert await replies(first, 3) == await replies(second, 3)
        await expect(messages_of(first)).to_have_text(["One", "Two, at length", "Three"])
        await expect(messages_of(second)).to_have_text(["One", "Two, at length", "Three"])

        theirs = await stranger.sign_in(other, f"/{path}")
        await theirs.get_by_role("alert").wait_for()
        assert "One" not in await theirs.locator("body").inner_text()
    await other.functions.aclose()
    assert [role for role, _ in stored(own_site, reader)] == ["user", "assistant"] * 3


async def test_what_is_written_without_a_network_is_sent_once_when_it_is_back(
    own_site: Stack, browser: Browser, reader: User
) -> None:
    """Queued and shown as that, kept through a reload, then stored once and answered once."""
    async with visitor(browser, own_site) as visit:
        page = await visit.sign_in(reader)
        await send(page, "Before")
        await replies(page)
        await visit.context.set_offline(True)
        await send(page, "Written in a tunnel")
        pending = page.locator(".uci-message-pending")
        await expect(pending).to_contain_text("Written in a tunnel")
        await expect(pending).to_contain_text("Queued")
        await visit.context.set_offline(False)
        # The page itself comes from the network; what it does from now on does not.
        await visit.context.route("**/functions/v1/**", lambda route: route.abort())
        await page.reload()
        await expect(page.locator(".uci-message-pending")).to_contain_text("Written in a tunnel")
        await visit.context.unroute_all()
        await replies(page, 2)
        await expect(messages_of(page)).to_have_text(["Before", "Written in a tunnel"])
        await expect(page.locator(".uci-message-pending")).to_have_count(0)
    rows = stored(own_site, reader)
    assert [content for role, content in rows if role == "user"] == [
        "Before",
        "Written in a tunnel",
    ]
    assert len(rows) == 4


async def test_without_realtime_everything_still_arrives(
    own_site: Stack, browser: Browser, reader: User
) -> None:
    """The socket is refused: turns are followed as streams, and other tabs ask now and then."""
    async with visitor(browser, own_site) as visit:
        await visit.context.route_web_socket("**/realtime/**", lambda socket: socket.close())
        page = await visit.sign_in(reader)
        await send(page, "One")
        await replies(page)
        path = await page.evaluate("location.hash")
        second = await visit.open(f"/{path}")
        await replies(second)
        await send(page, "Two")
        assert await replies(second, 2) == await replies(page, 2)
        await visit.context.close()  # nobody else is to do without sockets
