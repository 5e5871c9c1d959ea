"""The page of examples/ai-sdk-vite, built and opened in a browser, with an AI of the test's."""

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Locator, Page, Route
from starlette.staticfiles import StaticFiles

from local.node import NODE, install_packages
from local.settings import ROOT
from local.stack import Stack
from shared.ai.protocol import Engine
from tests.support.bundle import settings_for
from tests.support.server import served_app, served_bundle
from tests.support.users import PASSWORD, User

EXAMPLE = ROOT / "examples" / "ai-sdk-vite"


# The example with the npm package's transport: what docs/ai-sdk.md says of it.
PERSISTED = """
export let transport: PersistedChatTransport<Message>;

export async function loadChat(id: string): Promise<LoadedChat> {
  const { data } = await supabase.auth.getSession();
  const userId = data.session?.user.id ?? "";
  transport ??= new PersistedChatTransport({ url: `${url}/functions/v1`, userId, headers });
  return transport.load(id);
}

export const stopChat = (id: string) => transport.stop(id);
"""
CONFIG_OF_OURS = """
import config from "%s";
export default { ...config, resolve: { alias: { "%s": "%s" }, preserveSymlinks: true } };
"""


def with_our_transport(folder: Path, transport: Path) -> Path:
    """Copy the example into a folder, with the transport of this file; return the copy."""
    install_packages(EXAMPLE, "ci")
    copy = folder / "example"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(EXAMPLE / "node_modules")
    ours = "message-persistence-web/transport"
    chats = (copy / "src" / "chats.ts").read_text()
    kept = re.sub(r"\nexport const transport .*?;\n|\nexport async .*", "", chats, flags=re.DOTALL)
    imported = kept.replace("DefaultChatTransport, type", "type")
    written = f'import {{ PersistedChatTransport }} from "{ours}";\n{imported}{PERSISTED}'
    (copy / "src" / "chats.ts").write_text(written)
    chat = (copy / "src" / "Chat.tsx").read_text()
    (copy / "src" / "Chat.tsx").write_text(chat.replace("initial.openTurn !== null", "true"))
    (copy / "vite.config.ts").rename(copy / "vite.example.ts")
    (copy / "vite.config.ts").write_text(CONFIG_OF_OURS % ("./vite.example.ts", ours, transport))
    return copy


def build_example(stack: Stack, folder: Path, example: Path = EXAMPLE) -> None:
    """Check the example's types and build it for this stack."""
    install_packages(EXAMPLE, "ci")
    environment = stack.settings.environment()
    modules = EXAMPLE / "node_modules"
    check: list[str | Path] = [modules / "typescript" / "bin" / "tsc", "--noEmit"]
    build: list[str | Path] = [modules / "vite" / "bin" / "vite.js", "build", "--outDir", folder]
    commands = [check, build] if example == EXAMPLE else [build]
    for command in commands:
        subprocess.run(
            [NODE, *command],
            cwd=example,
            env={
                **os.environ,
                "VITE_SUPABASE_URL": environment["SUPABASE_URL"],
                "VITE_SUPABASE_PUBLISHABLE_KEY": environment["SUPABASE_PUBLISHABLE_KEY"],
            },
            check=True,
        )


@dataclass(frozen=True)
class ChatTab:
    """A tab that shows a chat."""

    page: Page

    async def send(self, text: str) -> None:
        """Write a message, new or in the place of another, and send it."""
        await self.page.get_by_role("textbox").fill(text)
        await self.page.get_by_role("button", name="Send").click()

    async def press(self, name: str) -> None:
        """Press the last button of this name."""
        await self.page.get_by_role("button", name=name).last.click()

    @property
    def messages(self) -> Locator:
        """The messages that are shown, without their buttons."""
        return self.page.locator("li > p, li > .tool")

    @property
    def status(self) -> Locator:
        """The status of the chat."""
        return self.page.get_by_role("status")


@dataclass
class Network:
    """What lies between a browser and the functions."""

    is_cut: bool = False


@dataclass(frozen=True)
class ChatBrowser:
    """Somebody's browser on the example, signed in."""

    context: BrowserContext
    address: str
    network: Network

    @contextmanager
    def without_sending(self) -> Iterator[None]:
        """Let nothing that is sent to a chat arrive."""
        self.network.is_cut = True
        try:
            yield
        finally:
            self.network.is_cut = False

    async def open(self, chat_id: str) -> ChatTab:
        """Open a tab on a chat."""
        page = await self.context.new_page()
        await page.goto(f"{self.address}#{chat_id}")
        await page.get_by_role("status").wait_for()
        return ChatTab(page)


@asynccontextmanager
async def chat_browser(
    browser: Browser, stack: Stack, user: User, engine: Engine, built: Path
) -> AsyncIterator[ChatBrowser]:
    """Sign a user in on the example, whose replies an engine of the test's writes."""

    problems: list[str] = []
    network = Network()
    page_app = StaticFiles(directory=built, html=True)
    async with (
        served_bundle(settings_for(stack), engine=engine) as functions,
        served_app(page_app) as address,
        await browser.new_context() as context,
    ):

        async def answer(route: Route) -> None:
            path = route.request.url.split("/functions/v1")[1]
            if network.is_cut and route.request.method == "POST":
                await route.abort()
                return
            await route.continue_(url=f"{functions}{path}")

        context.on("weberror", lambda error: problems.append(str(error.error)))
        await context.route("**/functions/v1/**", answer)
        page = await context.new_page()
        await page.goto(address)
        await page.get_by_label("E-mail").fill(user.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("status").wait_for()
        yield ChatBrowser(context, f"{address}/", network)
        assert problems == []
