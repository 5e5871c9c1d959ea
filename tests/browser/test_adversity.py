"""What is rare in a page's life: refusals, parts that don't load, places that are gone."""

import asyncio
import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Route, expect

from local.stack import Stack
from tests.browser.test_long_conversations import settled
from tests.support.browser import (
    PLAIN_HOST,
    composer,
    messages_of,
    replies,
    send,
    sign_in_on,
    visitor,
)
from tests.support.chats import Said, write_chat
from tests.support.users import User, make_user

pytestmark = pytest.mark.timeout(300)

SOON = 10_000  # milliseconds: what is seen sooner or not at all
GONE = {"code": "conversation_not_found", "message": "Conversation not found."}


@pytest.mark.promise("page in trouble", red="a conversation begun here takes its own address back")
async def test_a_hit_opens_at_its_place_in_a_conversation_that_was_begun_here(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Begun, left for another, found by a search: the hit is marked, and its address stays."""
    other = write_chat(site, visiting_user, [Said("user", "elsewhere")], title="Other")
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await send(page, "A needle")
        await replies(page)
        await page.goto(f"{site.settings.url}/#/c/{other}")
        await expect(page.get_by_text("elsewhere").first).to_be_visible()
        await page.get_by_label("Search messages").fill("needle")
        await page.locator(".hits a").first.click()
        await expect(page.locator("[data-focused]")).to_contain_text("needle", timeout=SOON)
        assert re.search(r"#/c/[^/]+/[^/]+$", page.url)


@pytest.mark.promise("page in trouble", red="no boundary around what is loaded late")
async def test_a_part_of_the_page_that_does_not_load_leaves_the_rest(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """The analytics can't be had: that is said in their place, and the way back is open."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await visit.context.route("**/assets/Analytics*", lambda route: route.abort())
        await page.goto(f"{site.settings.url}/#/analytics")
        await expect(page.get_by_role("alert")).to_be_visible(timeout=SOON)
        await page.get_by_role("link", name="New conversation").click()
        await expect(composer(page)).to_be_visible(timeout=SOON)


@pytest.mark.promise("page in trouble", red="older messages asked for despite an error")
async def test_older_messages_that_are_gone_are_asked_for_once(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """The conversation was deleted elsewhere: a refusal is shown, and the server left alone."""
    said = [Said("user", f"Message {number}") for number in range(1, 201)]
    chat = write_chat(site, visiting_user, said)
    refused = 0

    async def refuse_older(route: Route) -> None:
        nonlocal refused
        if "before" in (route.request.post_data_json or {}):
            refused += 1
            await route.fulfill(status=404, json=GONE)
        else:
            await route.continue_()

    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(page.get_by_text("Message 200", exact=True)).to_be_in_viewport()
        await settled(page)
        await visit.context.route("**/functions/v1/load-conversation", refuse_older)
        await page.locator(".uci-list").evaluate("list => { list.scrollTop = 0; }")
        await expect(page.get_by_role("alert")).to_be_visible(timeout=SOON)
        await asyncio.sleep(2)  # in which nothing is to happen
        assert refused <= 2


@pytest.mark.promise("page in trouble", red="messages shown in their own thread alone")
async def test_a_first_message_that_was_refused_is_seen_after_a_reload(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """It has no conversation to be shown in: where one is begun it is, sent again or discarded."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await visit.context.route(
            "**/functions/v1/mega-mind",
            lambda route: route.fulfill(
                status=413, json={"code": "payload_too_large", "message": "Too large."}
            ),
        )
        failed = page.locator('.uci-message-pending[data-state="failed"]')
        await send(page, "One")
        await expect(failed).to_contain_text("Too large")
        await expect(page.locator(".uci-status")).to_have_text("Message not sent: Too large.")
        await page.reload()
        await expect(failed).to_contain_text("One", timeout=SOON)
        await visit.context.unroute_all()
        await failed.get_by_role("button", name="Try again").click()
        await replies(page)
        await expect(page.locator(".uci-message-user")).to_have_count(1)
        await expect(page.locator(".uci-message-user")).to_contain_text("One")
        await expect(page.locator(".uci-status")).to_have_text("Reply complete")


@pytest.mark.promise("page in trouble")
async def test_what_waits_for_a_limit_says_until_when_and_can_be_discarded(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """The day's turns are used up: nobody has to wait for tomorrow to take a message back."""
    refusal = {"code": "too_many_turns", "message": "Too many turns."}
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await visit.context.route(
            "**/functions/v1/mega-mind",
            lambda route: route.fulfill(status=429, headers={"retry-after": "3600"}, json=refusal),
        )
        await send(page, "One too many")
        waiting = page.locator(".uci-message-pending")
        await expect(waiting).to_contain_text("Too many turns. Sent again at", timeout=SOON)
        await visit.context.unroute_all()
        await waiting.get_by_role("button", name="Discard").click()
        await expect(waiting).to_have_count(0)
        await send(page, "Another")
        await replies(page)
        await expect(page.locator(".uci-message-user .uci-message-body")).to_have_text(["Another"])


@pytest.mark.promise("page in trouble", red="keys of `crypto.randomUUID`")
async def test_without_https_a_message_is_sent_all_the_same(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """From another machine without a certificate, where browsers withhold half of their parts."""
    address = site.settings.url.replace("127.0.0.1", PLAIN_HOST)
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, address)
        assert not await page.evaluate("isSecureContext")
        await send(page, "In the open")
        await replies(page)
        await page.reload()
        await expect(page.locator(".uci-message-user .uci-message-body")).to_have_text(
            "In the open"
        )


@pytest.mark.promise("page in trouble", red="a stop without its `catch`")
async def test_what_the_reader_asks_for_and_does_not_get_is_shown(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Nothing to copy with, no way to stop: each says so, and no error is left lying about."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await page.evaluate("delete Navigator.prototype.clipboard")
        await visit.context.route("**/functions/v1/cancel-turn", lambda route: route.abort())
        await send(page, "Explain something at length")
        await page.locator(".uci-message-draft .uci-markdown").wait_for()
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("alert")).to_contain_text("can't be reached", timeout=SOON)
        await replies(page)
        await page.get_by_role("button", name="Copy message").first.click()
        await expect(page.get_by_role("button", name="Could not be copied")).to_be_visible()
    assert visit.problems == []


@pytest.mark.promise("page in trouble", red="the title left as it was")
async def test_who_signs_in_next_begins_at_the_beginning(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Neither the title nor the address of what was open stays behind."""
    chat = write_chat(site, visiting_user, [Said("user", "For my eyes")], title="My secret")
    other = await make_user(site)
    await other.functions.aclose()
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(page).to_have_title("My secret")
        await page.locator(".account").click()
        await page.get_by_role("menuitem", name="Sign out").click()
        await expect(page).to_have_title("Sign in")
        assert urlsplit(page.url).fragment == "/"
        await sign_in_on(page, other)
        await expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
        await expect(page.locator(".uci-welcome")).to_be_visible()
        await expect(page).to_have_title("New conversation")


@pytest.mark.promise("page in trouble", red="the key's code not looked at")
async def test_the_key_that_ends_a_composed_word_sends_nothing(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Safari ends the composition first and says so only by the key's code."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await composer(page).fill("にほんご")
        await composer(page).evaluate(
            """field => field.dispatchEvent(new KeyboardEvent(
              "keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true }))"""
        )
        await expect(page.locator(".uci-message")).to_have_count(0)
        await expect(composer(page)).to_have_value("にほんご")


@pytest.mark.promise("page in trouble", red="nothing loads the newest on sending")
async def test_what_is_sent_from_the_middle_of_a_conversation_is_seen_at_its_end(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Written while a search hit is shown, it and its reply stay in sight."""
    said = [Said("user", f"Message {number}") for number in range(1, 401)]
    said[99] = Said("user", "Message 100 with a needle")
    write_chat(site, visiting_user, said)
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await page.get_by_label("Search messages").fill("needle")
        await page.locator(".hits a").click()
        await expect(page.locator("[data-focused]")).to_be_in_viewport()
        await send(page, "And on")
        await expect(page.get_by_text("offline engine").first).to_be_in_viewport(timeout=20_000)
        await expect(messages_of(page).filter(has_text="And on")).to_have_count(1)


@pytest.mark.promise("page in trouble", red="a hit asked for once, and waited for ever")
@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "out of reach"])
async def test_a_hit_that_does_not_load_leaves_a_conversation_that_does(
    site: Stack, browser: Browser, visiting_user: User, is_gone: bool
) -> None:
    """Refused, the conversation opens at its end; out of reach, the hit is there on another try."""
    said = [Said("user", f"Message {number}") for number in range(1, 201)]
    said[9] = Said("user", "Message 10 with a needle")
    chat = write_chat(site, visiting_user, said)

    async def keep_the_hit(route: Route) -> None:
        if "around" not in (route.request.post_data_json or {}):
            await route.continue_()
        elif is_gone:
            await route.fulfill(status=404, json=GONE)
        else:
            await route.abort()

    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(page.get_by_text("Message 200", exact=True)).to_be_in_viewport()
        await visit.context.route("**/functions/v1/load-conversation", keep_the_hit)
        await page.get_by_label("Search messages").fill("needle")
        await page.locator(".hits a").click()
        again = page.get_by_role("alert").get_by_role("button", name="Try again")
        await expect(again).to_be_visible(timeout=2 * SOON)  # after some tries of its own
        await visit.context.unroute_all()
        await again.click()
        if is_gone:
            await settled(page)
            await page.locator(".uci-list").evaluate("list => { list.scrollTop = 0; }")
            await expect(page.get_by_text("Message 150", exact=True)).to_be_attached(timeout=SOON)
        else:
            await expect(page.locator("[data-focused]")).to_be_in_viewport(timeout=SOON)
