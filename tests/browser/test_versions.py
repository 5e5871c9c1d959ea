"""Editing a message, having it answered once more, and going from one version to another."""

import psycopg
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from local.stack import Stack
from tests.support.browser import composer, messages_of, replies, send, visitor
from tests.support.users import User
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)


def asked(page: Page) -> Locator:
    """Return the user's message."""
    return page.locator(".uci-message-user")


def answered(page: Page) -> Locator:
    """Return the stored reply."""
    return page.locator(".uci-message-assistant:not(.uci-message-draft)")


async def edit(page: Page, text: str) -> None:
    """Edit the only message with the mouse, and send it with the keyboard."""
    await asked(page).hover()
    await asked(page).get_by_role("button", name="Edit message").click()
    await page.get_by_label("Edited message").fill(text)
    await page.get_by_label("Edited message").press("Enter")


async def version(page: Page, message: Locator, number: str, count: str) -> None:
    """Wait until a message says that it is this one of so many."""
    versions = message.get_by_role("group", name="Versions")
    await expect(versions.get_by_role("status")).to_have_text(f"{number} of {count}")


async def test_an_edit_stands_beside_the_message_in_every_tab_and_after_a_reload(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Both are one step away; which one is shown is kept, and is the same in two tabs."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await send(page, "Name a colour")
        await replies(page)
        await page.wait_for_url("**/#/c/*")
        other = await visit.open(page.url.removeprefix(site.settings.url))
        await expect(messages_of(other)).to_have_text(["Name a colour"])

        await edit(page, "Name an animal")
        await expect(messages_of(page)).to_have_text(["Name an animal"])
        await version(page, asked(page), "2", "2")
        await expect(answered(page)).to_contain_text("Name an animal")
        await expect(messages_of(other)).to_have_text(["Name an animal"])
        await expect(answered(other)).to_contain_text("Name an animal")

        await asked(page).get_by_role("button", name="Previous version").click()
        await version(page, asked(page), "1", "2")
        await expect(messages_of(page)).to_have_text(["Name a colour"])
        await expect(messages_of(other)).to_have_text(["Name a colour"])
        await page.reload()
        await expect(messages_of(page)).to_have_text(["Name a colour"])
        await send(page, "And another")
        await replies(page, 2)
        await expect(messages_of(other)).to_have_text(["Name a colour", "And another"])
    assert visit.problems == []


async def test_versions_are_made_and_found_by_keyboard(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Escape cancels, Enter sends; the focus stays where one goes on from."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await send(page, "One")
        await replies(page)
        begin = asked(page).get_by_role("button", name="Edit message")
        await begin.focus()
        await page.keyboard.press("Enter")
        field = page.get_by_label("Edited message")
        await expect(field).to_be_focused()
        await page.keyboard.type(", or not")
        await page.keyboard.press("Escape")
        await expect(field).to_have_count(0)
        await expect(begin).to_be_focused()
        await expect(messages_of(page)).to_have_text(["One"])

        await page.keyboard.press("Enter")
        await page.keyboard.type(" and two")
        await page.keyboard.press("Enter")
        await version(page, asked(page), "2", "2")
        await expect(messages_of(page)).to_have_text(["One and two"])
        await expect(page.locator(".uci-message-draft")).to_have_count(0)
        await replies(page)

        await asked(page).get_by_role("button", name="Previous version").focus()
        await page.keyboard.press("Enter")
        await version(page, asked(page), "1", "2")
        following = asked(page).get_by_role("button", name="Next version")
        await expect(following).to_be_focused()
        await page.keyboard.press("Enter")
        await version(page, asked(page), "2", "2")
    assert visit.problems == []


async def test_a_reply_is_made_once_more(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """It comes in the old one's place, which is one step away; the question stands as it was."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await send(page, "One")
        await replies(page)
        for count in ("2", "3"):
            await answered(page).hover()
            await answered(page).get_by_role("button", name="Answer once more").click()
            await version(page, answered(page), count, count)
        await expect(messages_of(page)).to_have_text(["One"])
        await answered(page).get_by_role("button", name="Previous version").click()
        await version(page, answered(page), "2", "3")
        await page.reload()
        await version(page, answered(page), "2", "3")
        await expect(composer(page)).to_be_enabled()
    assert visit.problems == []


async def test_a_hit_on_another_version_opens_it(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """The page shows the path that the hit is on, and goes on from there."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await send(page, "Where is the marmalade?")
        await replies(page)
        await edit(page, "Where is the honey?")
        await version(page, asked(page), "2", "2")
        await expect(answered(page)).to_contain_text("honey")
        await page.get_by_label("Search messages").fill("marmalade")
        await page.locator(".hits a").first.click()
        await version(page, asked(page), "1", "2")
        await expect(messages_of(page)).to_have_text(["Where is the marmalade?"])
        await send(page, "And the bread?")
        await replies(page, 2)
        questions = ["Where is the marmalade?", "And the bread?"]
        await expect(messages_of(page)).to_have_text(questions)
    assert visit.problems == []


@pytest.mark.promise("outbox", red="an edit sent under a new key")
async def test_an_edit_is_sent_once_however_the_network_is(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Written offline, reloaded, its answer lost on the way: one edit is stored."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await send(page, "One")
        await replies(page)
        await visit.context.set_offline(True)
        await edit(page, "Two")
        await expect(page.get_by_text("Queued")).to_be_visible()
        await expect(messages_of(page)).to_have_text(["Two"])
        lost = []

        async def lose(route):  # type: ignore[no-untyped-def]
            lost.append(await route.fetch())
            await route.abort()

        await visit.context.route("**/functions/v1/mega-mind", lose, times=1)
        await visit.context.set_offline(False)
        await version(page, asked(page), "2", "2")
        await expect(answered(page)).to_contain_text("Two")
        await until(lambda: lost)  # its answer may be read to its end after the edit is shown
    with psycopg.connect(site.settings.db_url) as db:
        rows = db.execute(
            "select content from messages where user_id = %s and role = 'user' order by seq",
            (visiting_user.id,),
        ).fetchall()
    assert rows == [("One",), ("Two",)]
