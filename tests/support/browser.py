"""A real Chromium on a real stack: the machine's own, since a download of one may not be had."""

import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    WebError,
    async_playwright,
    expect,
)

from local.node import install_packages
from local.page import WEB, build_page
from local.stack import Stack
from tests.support.stack import running_stack
from tests.support.users import PASSWORD, User

expect.set_options(timeout=30_000)  # a bound, not a measure

# A name of this machine that no browser trusts, as it trusts 127.0.0.1, without https.
PLAIN_HOST = "plain.example"

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGE_AI = {"MEGA_MIND_ENGINE": "tests.support.page_engine:engine"}

DESK: ViewportSize = {"width": 1280, "height": 720}
# A file of the page that starts nothing: here a visit begins and ends.
STILL = "/icon.svg"
EMPTY = """
async () => {
  localStorage.clear();
  sessionStorage.clear();
  for (const { name } of await indexedDB.databases())
    await new Promise((gone) => (indexedDB.deleteDatabase(name).onsuccess = gone));
}
"""
KEEP_SESSION = "([name, session]) => localStorage.setItem(name, session)"
# The profile that was visited last, and is empty again: to open one costs more than most visits.
emptied: WeakKeyDictionary[Browser, BrowserContext] = WeakKeyDictionary()
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
    """Run a stack of one's own whose gateway serves the page."""
    prepare_page()
    with running_stack(**PAGE_AI) as stack:
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
    viewport: ViewportSize = field(default_factory=lambda: DESK)
    color_scheme: str = "light"
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._idle = list(self.context.pages)

    async def open(self, path: str = "/") -> Page:
        """Open a tab."""
        page = await self._tab()
        await page.goto(urljoin(self.stack.settings.url, path))
        return page

    async def sign_in(self, user: User, path: str = "/") -> Page:
        """Open a tab of somebody who has signed in before."""
        page = await self._tab()
        url = urljoin(self.stack.settings.url, path)
        await page.goto(urljoin(url, STILL))
        await page.evaluate(KEEP_SESSION, [session_name(url), session_of(user)])
        await page.goto(url)
        await composer(page).wait_for()
        return page

    async def leave(self) -> None:
        """Close all tabs but one, and leave the profile as if nobody had been there."""
        page, *others = self.context.pages
        for other in others:
            await other.close()
        await self.context.unroute_all(behavior="ignoreErrors")
        await self.context.set_offline(False)
        await self.context.clear_permissions()
        await page.goto(urljoin(self.stack.settings.url, STILL))
        await page.evaluate(EMPTY)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Write down what goes wrong in any tab."""
        listeners = {"weberror": self._fail, "console": self._note, "request": self._stay_here}
        for event, listener in listeners.items():
            self.context.on(event, listener)  # type: ignore[call-overload]
        try:
            yield
        finally:
            for event, listener in listeners.items():
                self.context.remove_listener(event, listener)

    async def _tab(self) -> Page:
        page = self._idle.pop() if self._idle else await self.context.new_page()
        await page.set_viewport_size(self.viewport)
        await page.emulate_media(color_scheme=self.color_scheme)  # type: ignore[arg-type]
        return page

    def _fail(self, error: WebError) -> None:
        self.problems.append(str(error.error))

    def _stay_here(self, request: Request) -> None:
        host = urlsplit(request.url).netloc
        if host and host != urlsplit(self.stack.settings.url).netloc:
            self.problems.append(f"asked elsewhere: {request.url}")

    def _note(self, line: ConsoleMessage) -> None:
        # What a browser says of a network that was taken away is no fault of the page.
        is_network = any(
            words in line.text for words in ("net::ERR", "status of", "WebSocket connection")
        )
        if line.type == "error" and not is_network:
            self.problems.append(line.text)


@asynccontextmanager
async def visitor(
    browser: Browser,
    stack: Stack,
    *,
    viewport: ViewportSize = DESK,
    color_scheme: str = "light",
    **options: object,
) -> AsyncIterator[Visitor]:
    """Give somebody an empty profile; with options, or while another visits, a new one.

    After a visit that went wrong nobody uses its profile again.
    """
    kept = None if options else emptied.pop(browser, None)
    context = kept or await new_profile(browser, viewport=viewport, **options)
    visit = Visitor(stack, context, viewport, color_scheme)
    is_reusable = False
    try:
        with visit.noting():
            yield visit
        if not options and browser not in emptied and context.pages:
            await visit.leave()
            is_reusable = True
    finally:
        if is_reusable:
            emptied[browser] = context
        else:
            await context.close()


async def new_profile(browser: Browser, **options: object) -> BrowserContext:
    """Open a profile whose pages say what is against their policy."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    await context.add_init_script(REPORT_VIOLATIONS)
    return context


def session_name(url: str) -> str:
    """Return under which name supabase-js keeps the session of a project."""
    return f"sb-{urlsplit(url).netloc.split('.')[0]}-auth-token"


def session_of(user: User) -> str:
    """Return what supabase-js keeps of who has signed in."""
    session = {
        "access_token": user.token,
        "refresh_token": "none",
        "token_type": "bearer",
        "expires_in": 3600,
        "expires_at": int(time.time()) + 3600,
        "user": {"id": user.id, "aud": "authenticated", "email": user.email},
    }
    return json.dumps(session)


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
