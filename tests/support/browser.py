"""A real Chromium on a real stack: the machine's own, since a download of one may not be had."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from local.node import install_packages
from local.page import WEB, build_page
from local.stack import Stack
from tests.support.stack import running_stack
from tests.support.users import PASSWORD, User

expect.set_options(timeout=30_000)  # a bound, not a measure

# A name of this machine that no browser trusts, as it trusts 127.0.0.1, without https.
PLAIN_HOST = "plain.example"

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SLOW_AI = {"OFFLINE_DELAY": "0.1"}  # seconds for a word
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  console.error(`against the policy: ${violatedDirective} ${blockedURI}`));
"""


def chromium_path() -> str:
    """Return the machine's Chromium, or skip with a line that says what is missing."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install one (Debian: apt-get install chromium)")
    return found


def prepare_page() -> None:
    """Build the page where there is a Chromium; with all packages, as its own tests want them."""
    chromium_path()
    install_packages(WEB, "ci")
    build_page()


@contextmanager
def page_stack() -> Iterator[Stack]:
    """Run a stack of one's own whose gateway serves the page and whose AI takes its time."""
    prepare_page()
    with running_stack(**SLOW_AI) as stack:
        yield stack


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Run a Chromium without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(),
            args=["--no-sandbox", f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visitor:
    """Somebody's browser on the page of a stack: one profile, any number of tabs."""

    stack: Stack
    context: BrowserContext
    problems: list[str] = field(default_factory=list)

    async def open(self, path: str = "/") -> Page:
        """Open a tab; what goes wrong in it is written down."""
        page = await self.context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda line: self._note(line.type, line.text))
        page.on("request", lambda request: self._stay_here(request.url))
        await page.add_init_script(REPORT_VIOLATIONS)
        await page.goto(urljoin(self.stack.settings.url, path))
        return page

    async def sign_in(self, user: User, path: str = "/") -> Page:
        """Open a tab and sign a user in."""
        page = await self.open(path)
        await sign_in_on(page, user)
        return page

    def _stay_here(self, url: str) -> None:
        host = urlsplit(url).netloc
        if host and host != urlsplit(self.stack.settings.url).netloc:
            self.problems.append(f"asked elsewhere: {url}")

    def _note(self, kind: str, text: str) -> None:
        # What a browser says of a network that was taken away is no fault of the page.
        is_network = any(
            words in text for words in ("net::ERR", "status of", "WebSocket connection")
        )
        if kind == "error" and not is_network:
            self.problems.append(text)


@asynccontextmanager
async def visitor(browser: Browser, stack: Stack, **options: object) -> AsyncIterator[Visitor]:
    """Give somebody a browser profile of their own."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    try:
        yield Visitor(stack, context)
    finally:
        await context.close()


async def sign_in_on(page: Page, user: User) -> None:
    """Sign a user in on a page that asks for it."""
    await page.get_by_label("E-mail").fill(user.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await composer(page).wait_for()


def composer(page: Page):  # type: ignore[no-untyped-def]
    """Return the field that messages are written in."""
    return page.get_by_label("Your message")


async def send(page: Page, text: str) -> None:
    """Write a message and send it with the keyboard."""
    await composer(page).fill(text)
    await composer(page).press("Enter")


async def replies(page: Page, count: int = 1) -> list[str]:
    """Wait for so many stored replies; return their texts."""
    stored = page.locator(".uci-message-assistant:not(.uci-message-draft)")
    await stored.nth(count - 1).wait_for()
    return await stored.locator(".uci-message-body").all_inner_texts()


def messages_of(page: Page):  # type: ignore[no-untyped-def]
    """Return the user's messages that are shown, stored or on their way."""
    return page.locator(".uci-message-user .uci-message-body")
