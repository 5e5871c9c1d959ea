"""The package in somebody else's app: the specification's own lines, inside one provider."""

import mimetypes
import os
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from local.node import NODE
from local.page import VITE, WEB
from local.stack import Stack
from tests.support.browser import visitor
from tests.support.chats import Said, write_chat
from tests.support.users import PASSWORD, User

pytestmark = pytest.mark.timeout(300)

SIGN_IN = "account => supabase.auth.signInWithPassword(account).then(({ error }) => error)"
STYLES = """
() => {
  const own = getComputedStyle(document.querySelector(".message"));
  const root = getComputedStyle(document.documentElement);
  const chat = getComputedStyle(document.querySelector(".uci"));
  return [own.color, own.borderRadius, own.display, root.colorScheme, chat.backgroundColor];
}
"""
UNTOUCHED = ["rgb(255, 0, 0)", "3px", "block", "normal", "rgb(247, 245, 240)"]


@pytest.fixture(scope="module")
def host(site: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, built for development: React says what it would warn of."""
    folder = tmp_path_factory.mktemp("host")
    arguments = ["build", "test/host", "--config", "vite.config.ts", "--mode", "development"]
    subprocess.run(
        [NODE, VITE, *arguments, "--base", "/host/", "--outDir", folder, "--logLevel", "error"],
        cwd=WEB,
        env={**os.environ, "NODE_ENV": "development"},
        check=True,
    )
    return folder


async def serve(context: BrowserContext, folder: Path) -> None:
    """Serve the app beside the stack's own page."""

    async def answer(route: Route) -> None:
        path = route.request.url.split("?")[0].split("/host/")[1] or "index.html"
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        await route.fulfill(body=(folder / path).read_bytes(), content_type=kind)

    await context.route("**/host/**", answer)


async def sign_in(page: Page, user: User) -> None:
    """Sign in as the host app does it: by its own client."""
    await page.wait_for_function("'supabase' in window")
    assert await page.evaluate(SIGN_IN, {"email": user.email, "password": PASSWORD}) is None


async def test_the_specifications_own_lines_run_in_somebody_elses_app(
    site: Stack, browser: Browser, visiting_user: User, host: Path
) -> None:
    """Signed out, in and out again, in strict mode, with no warning and no style astray."""
    greeting = [Said("user", "Hello"), Said("assistant", "Hi")]
    chat = write_chat(site, visiting_user, greeting, title="A title")
    warnings: list[str] = []
    async with visitor(browser, site, color_scheme="dark") as visit:
        await serve(visit.context, host)
        visit.context.on(
            "console", lambda line: warnings.append(line.text) if line.type == "warning" else None
        )
        page = await visit.open(f"/host/?id={chat}")
        await expect(page.get_by_text("You are signed out.")).to_be_visible()
        await sign_in(page, visiting_user)
        await expect(page.locator(".uci-message-assistant")).to_contain_text("Hi")
        await expect(page.get_by_role("button", name="A title")).to_be_visible()
        await expect(page.get_by_role("heading", name="KI")).to_be_attached()
        assert await page.evaluate(STYLES) == UNTOUCHED

        await page.get_by_placeholder("Schreib etwas").fill("And more")
        await page.get_by_placeholder("Schreib etwas").press("Enter")
        await expect(page.locator(".uci-message-assistant:not(.uci-message-draft)")).to_have_count(
            2
        )
        await page.get_by_role("button", name="Ask").click()
        await expect(page.locator("aside li")).to_have_text(["user", "assistant"])
        await page.get_by_placeholder("Schreib etwas").fill("For my eyes")
        await page.evaluate("supabase.auth.signOut({ scope: 'local' })")
        await expect(page.get_by_text("You are signed out.")).to_be_visible()
        await expect(page.get_by_placeholder("Schreib etwas")).to_have_value("")
        await expect(page.locator(".uci-message")).to_have_count(0)
        await expect(page.locator("aside li")).to_have_count(0)
    assert warnings == []
    assert visit.problems == []


async def test_a_new_conversation_begins_with_the_hosts_own_examples(
    site: Stack, browser: Browser, visiting_user: User, host: Path
) -> None:
    """Texts are given to the provider; what isn't given is English."""
    async with visitor(browser, site) as visit:
        await serve(visit.context, host)
        page = await visit.open("/host/")
        await sign_in(page, visiting_user)
        await page.get_by_role("button", name="Hallo").click()
        await expect(page.locator(".uci-message-user")).to_contain_text("Hallo")
        await expect(page.locator(".uci-message-assistant:not(.uci-message-draft)")).to_have_count(
            1
        )
