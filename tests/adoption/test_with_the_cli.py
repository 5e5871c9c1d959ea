"""A project that the Supabase CLI keeps: its history goes on, before the adoption and after."""

import shutil

import pytest

from shared.install.__main__ import DONE, STOPPED
from shared.install.__main__ import main as install
from tests.support.old_chats import TABLES, Project, old_rows
from tests.support.supabase_cli import SUPABASE, Cli

pytest_plugins = [
    "tests.support.old_chats",
    "tests.support.supabase_cli_plugin",
]


@pytest.fixture
def folder(cli: Cli, early_project: Project) -> Project:
    """A project whose migrations, pushed by the CLI, make the old tables."""
    early_project.folder = cli.workdir / "supabase" / "migrations"
    for ours in early_project.folder.glob("*.sql"):
        ours.unlink()
    (early_project.folder / "20250101000000_chats.sql").write_text(TABLES)
    cli.ask("db", "push", url=early_project.url)
    early_project.owner_url = early_project.url  # whoever pushes owns what is made
    early_project.has("", chats=2, messages=4)
    return early_project


def test_old_tables_are_moved_and_adopted_between_two_pushes(
    cli: Cli, folder: Project, shaped_url: str
) -> None:
    """The move comes before this system's migration, whenever that was made.

    A database made from the migrations alone, on a laptop or a preview's, gets the same.
    """
    written = folder.adopt("--write-migration", str(folder.folder))
    for migration in (SUPABASE / "migrations").glob("*.sql"):
        shutil.copy(migration, folder.folder)
    pushed = cli.ask("db", "push", url=folder.url)
    folder.old_schema = "legacy_chat"
    assert written.code == 0, written.text
    assert pushed["migrations"][0] == "20250101000001_move_old_chats_aside.sql"
    assert folder.adopt().code == 0
    assert (len(folder.stored()), folder.broken()) == (24, {})
    assert cli.ask("db", "push", url=folder.url)["upToDate"] is True
    assert len(cli.ask("db", "push", url=shaped_url)["migrations"]) >= 3


@pytest.mark.promise("adoption")
def test_an_install_takes_the_place_of_old_tables_and_leaves_it(cli: Cli, folder: Project) -> None:
    """First it says what is in the way; the old rows are the same, and the adopted ones stay."""
    where = ["--into", str(cli.workdir), "--database-url", folder.url]
    before = old_rows(folder)
    assert install(where) == STOPPED
    assert folder.adopt("--write-migration", str(folder.folder)).code == 0
    cli.ask("db", "push", url=folder.url)
    folder.old_schema = "legacy_chat"
    assert install(where) == DONE
    cli.ask("db", "push", url=folder.url)
    assert folder.adopt().code == 0
    stored = folder.stored()
    assert install([*where, "--remove"]) == DONE
    cli.ask("db", "push", url=folder.url)
    assert (len(stored), folder.stored()) == (24, stored)
    assert old_rows(folder) == before
