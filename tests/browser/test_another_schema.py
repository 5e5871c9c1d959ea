"""The page in a project that has the schema under another name: it needs no setting for that."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from local import database
from local.stack import Stack
from shared.install.migrations import migrations_for
from shared.install.names import Names
from tests.support.browser import messages_of, prepare_page, replies, send, visitor
from tests.support.postgres import running_server
from tests.support.project_stack import ProjectStack
from tests.support.users import User, sign_up

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A project's stack, with the page."""
    prepare_page()
    folder = tmp_path_factory.mktemp("migrations")
    write_migrations(folder)
    with running_server() as server, ProjectStack.on(server, "chat") as project:
        database.migrate(project.db_url, folder)
        project.serve()
        yield project.stack


def write_migrations(folder: Path) -> None:
    """Write ours as an install does."""
    for number, migration in enumerate(migrations_for(Names("chat"), database.MIGRATIONS)):
        (folder / f"{number}_{migration.name}.sql").write_text(migration.text)


@pytest_asyncio.fixture(loop_scope="module")
async def reader(project: Stack) -> AsyncIterator[User]:
    """A new user."""
    signed_up = await sign_up(project)
    yield signed_up
    await signed_up.functions.aclose()


async def test_what_was_said_is_there_after_a_reload(
    project: Stack, browser: Browser, reader: User
) -> None:
    """Sign in, write, get a reply, come back; the rows are in the project's schema alone."""
    async with visitor(browser, project) as visit:
        page = await visit.sign_in(reader)
        await send(page, "Where is the lighthouse?")
        before = await replies(page)
        await page.reload()
        assert await replies(page) == before
        assert await messages_of(page).all_inner_texts() == ["Where is the lighthouse?"]
        assert visit.problems == []
    with psycopg.connect(project.settings.db_url) as connection:
        stored = connection.execute("select role from chat.messages order by seq").fetchall()
        nowhere = connection.execute("select to_regclass('public.messages')").fetchone()
    assert (stored, nowhere) == ([("user",), ("assistant",)], (None,))
