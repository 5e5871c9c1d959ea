"""What is typed into the page: however long, wherever one goes, whoever is still signed in."""

import pytest
from playwright.async_api import Browser, expect

from local.stack import Stack
from tests.support.browser import composer, messages_of, replies, send, sign_in_on, visitor
from tests.support.chats import Said, write_chat
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

PASTED = "Pasted words, " * 20_000
PASTE = """
async (field, text) => {
  field.focus();
  const begun = performance.now();
  document.execCommand("insertText", false, text);
  await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
  return performance.now() - begun;
}
"""
PLAIN_FIELD = """
field => {
  const plain = field.cloneNode();
  plain.dir = "ltr";
  plain.id = "plain";
  field.after(plain);
}
"""
IN_ZONE = """
timeZone => {
  const real = Intl.DateTimeFormat.prototype.resolvedOptions;
  Intl.DateTimeFormat.prototype.resolvedOptions = function () {
    return { ...real.call(this), timeZone };
  };
}
"""


async def test_a_long_text_can_be_pasted(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """It takes little longer than in a field without a page, and what was pasted is all there."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        took = await composer(page).evaluate(PASTE, PASTED)
        assert await composer(page).evaluate("field => field.value.length") == len(PASTED)
        await composer(page).evaluate(PLAIN_FIELD)
        assert took < 4 * await page.locator("#plain").evaluate(PASTE, PASTED)
    assert visit.problems == []


async def test_what_is_typed_is_there_after_a_switch_and_a_reload(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Each conversation has its own, a new one too; what was sent is not typed any more."""
    chat = write_chat(site, visiting_user, [Said("user", "Hello")], title="One")
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await composer(page).fill("A new beginn")
        await page.get_by_role("link", name="One").click()
        await expect(composer(page)).to_have_value("")
        await composer(page).fill("Half a thou")
        await page.reload()
        await expect(composer(page)).to_have_value("Half a thou")
        await page.get_by_role("link", name="New conversation").click()
        await expect(composer(page)).to_have_value("A new beginn")
        await composer(page).press("Enter")
        await replies(page)
        await composer(page).fill("And th")
        await page.reload()
        await expect(composer(page)).to_have_value("And th")
        await page.get_by_role("link", name="New conversation").click()
        await expect(composer(page)).to_have_value("")
        await page.goto(f"{site.settings.url}/#/c/{chat}")
        await expect(composer(page)).to_have_value("Half a thou")


async def test_characters_that_are_not_seen_are_no_message_and_no_title(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Neither is sent; a conversation and a reply of them are shown as what they are."""
    chat = write_chat(site, visiting_user, [Said("assistant", "\u200b")], title="\u2060\u200d")
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(page.get_by_role("heading", name="Untitled")).to_be_visible()
        await expect(page.get_by_text("an empty message")).to_be_visible()
        await composer(page).fill("\u200b\u200d \ufeff")
        await expect(page.get_by_role("button", name="Send")).to_be_disabled()
        await page.get_by_label("More about Untitled").click()
        await page.get_by_role("menuitem", name="Rename").click()
        await page.get_by_label("Title", exact=True).fill("\u200b")
        await page.get_by_role("button", name="Rename").click()
        assert not await page.get_by_label("Title", exact=True).evaluate(
            "field => field.validity.valid"
        )


async def test_who_is_signed_out_sees_it_and_loses_nothing(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """The session is gone from the browser: the form comes back, and then what was sent is."""
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user)
        await page.evaluate("localStorage.clear()")
        await send(page, "Still mine")
        await expect(page.get_by_text("You are signed out.")).to_be_visible(timeout=10_000)
        await sign_in_on(page, visiting_user)
        await page.locator(".uci-conversation a").click()
        await replies(page)
        await expect(messages_of(page)).to_have_text("Still mine")


async def test_analytics_are_there_in_a_zone_that_nobody_knows(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """What is not a zone's name to the server is given as hours from UTC."""
    assert (await visiting_user.send("Count me")).status_code == 200
    async with visitor(browser, site, timezone_id="America/Bogota") as visit:
        page = await visit.sign_in(visiting_user)
        for zone in ("Etc/Unknown", "GMT", "EST5EDT"):
            await page.evaluate(IN_ZONE, zone)
            await page.goto(f"{site.settings.url}/#/analytics")
            await expect(page.locator(".figures")).to_be_visible(timeout=10_000)
            await page.goto(f"{site.settings.url}/#/")
            await expect(composer(page)).to_be_visible()


async def test_a_conversation_is_the_same_by_capital_letters(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """Its id in the address is in capitals: what is written elsewhere arrives at once."""
    chat = write_chat(site, visiting_user, [Said("user", "Hello")], title="One")
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat.upper()}")
        await expect(page.locator('[aria-current="page"]')).to_have_text("One")
        await expect(messages_of(page)).to_have_text("Hello")
        other = await visit.open(f"/#/c/{chat}")
        await send(other, "Explain something at length")
        await page.locator(".uci-message-draft .uci-markdown").wait_for(timeout=10_000)


async def test_a_reply_that_was_cut_says_so_and_can_be_gone_on_with(
    site: Stack, browser: Browser, visiting_user: User
) -> None:
    """The offer is made at the end of the conversation alone."""
    said = [
        Said("assistant", "First half", {"truncated": True}),
        Said("user", "Go on"),
        Said("assistant", "Second half", {"finishReason": "length"}),
    ]
    chat = write_chat(site, visiting_user, said)
    async with visitor(browser, site) as visit:
        page = await visit.sign_in(visiting_user, f"/#/c/{chat}")
        await expect(page.get_by_text("This reply was cut")).to_have_count(2)
        await page.get_by_role("button", name="Go on").click()
        await expect(messages_of(page).last).to_contain_text("Go on where")
        await expect(page.get_by_role("button", name="Go on")).to_have_count(0)
        await replies(page, 3)
