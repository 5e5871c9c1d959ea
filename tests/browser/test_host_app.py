"""The package in somebody else's app: the specification's own lines, inside one provider."""

import mimetypes
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from local.page import WEB
from local.stack import Stack
from tests.support.browser import replies, send, visitor
from tests.support.chats import Said, write_chat
from tests.support.packed import PEERS, App, app_with_package, readme_files
from tests.support.stack import shared_among_workers
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


HOST = WEB / "test" / "host"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this test run."""
    return shared_among_workers(tmp_path_factory)


@pytest.fixture(scope="module")
def host(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app of the tests, built for development: React says what it would warn of."""
    app = app_with_package(shared, "newest")
    for file in HOST.iterdir():
        app.write(f"host/{file.name}", file.read_text())
    return built(app, tmp_path_factory, "host", "--mode", "development")


@pytest.fixture(scope="module", params=PEERS)
def readme_app(
    request: pytest.FixtureRequest,
    site: Stack,
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The app of the package's README, with each age of its peers."""
    app = app_with_package(shared, request.param)
    for path, text in readme_files().items():
        app.write(path, text)
    url, key = site.settings.url, site.settings.keys.publishable
    app.write(".env", f"VITE_SUPABASE_URL={url}\nVITE_SUPABASE_PUBLISHABLE_KEY={key}\n")
    return built(app, tmp_path_factory)


def built(app: App, factory: pytest.TempPathFactory, *arguments: str) -> Path:
    """Build an app for its place beside the stack's own page."""
    folder = factory.mktemp("built")
    app.build(*arguments, "--base", "/host/", "--outDir", str(folder), "--emptyOutDir")
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


async def test_the_readmes_app_runs_as_it_stands(
    site: Stack, browser: Browser, visiting_user: User, readme_app: Path
) -> None:
    """Signed in on its own form, a message is sent, answered, and there after a reload."""
    async with visitor(browser, site, color_scheme="dark") as visit:
        await serve(visit.context, readme_app)
        page = await visit.open("/host/")
        await page.get_by_label("E-mail").fill(visiting_user.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        await send(page, "List the planets, one a line")
        stored = await replies(page)
        await expect(page.get_by_label("Your message")).to_be_in_viewport()
        background = "getComputedStyle(document.querySelector('.uci')).backgroundColor"
        assert await page.evaluate(background) == "rgb(21, 22, 20)"  # dark, as the template is
        await page.reload()
        await page.locator(".uci-conversation button").click()
        assert await replies(page) == stored
    assert visit.problems == []
