"""The real Supabase CLI on a database of the test's own: our migrations are its migrations too.

It is run on a copy of supabase/, with a home folder of its own and no way to the network.
"""

import dataclasses
import itertools
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import database
from local.settings import ROOT
from tests.support.catalog import describe, difference
from tests.support.clients import CLIENTS
from tests.support.supabase_cli import SUPABASE, Cli

pytest_plugins = ["tests.support.supabase_cli_plugin"]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [script.name for script in sorted(database.MIGRATIONS.glob("*.sql"))]


def documented_calls() -> dict[str, list[str]]:
    """Return every call of the CLI on our pages, in a block or a sentence, by its command."""
    text = "\n".join(page.read_text() for page in PAGES)
    calls: dict[str, list[str]] = {}
    for call in re.findall(r"^supabase .*|(?<=`)supabase .*?(?=`)", text, re.MULTILINE):
        command = " ".join(itertools.takewhile(str.isalpha, call.split()))
        calls.setdefault(command, []).append(call)
    return calls


CALLS = documented_calls()


def test_the_cli_is_the_version_that_is_locked(cli: Cli) -> None:
    """What is tested is what package.json names."""
    wanted = json.loads((CLIENTS / "package.json").read_text())["dependencies"]["supabase"]
    assert cli.run("--version").stdout.strip() == wanted


@pytest.mark.parametrize("command", CALLS)
def test_a_documented_command_is_one_of_the_clis(cli: Cli, command: str) -> None:
    """And says `--remote` where it would go to this machine otherwise, whatever is linked."""
    shown = cli.run(*command.split()[1:], "--help").stdout
    assert f"\n  {command} " in shown
    if "Local by default" in shown:
        assert [call for call in CALLS[command] if " --remote" not in call] == []


@pytest.mark.promise("migrations")
def test_push_applies_the_migrations_and_then_has_nothing_to_do(
    cli: Cli, shaped_url: str, catalog: str
) -> None:
    """All in order, then an honest no-op for both; the catalog is the local stack's."""
    first = cli.ask("db", "push", url=shaped_url)
    second = cli.ask("db", "push", url=shaped_url)
    assert (first["upToDate"], first["migrations"]) == (False, NAMES)
    assert (second["upToDate"], second["migrations"]) == (True, [])
    assert database.migrate(shaped_url) == []
    with psycopg.connect(shaped_url) as connection:
        assert difference(_whoever_owns(catalog), _whoever_owns(describe(connection))) == ""


def _whoever_owns(catalog: str) -> str:
    """Return a catalog in which it is the same who pushed; that comes elsewhere in lists."""
    lines = re.sub(r"\badmin\b", "postgres", re.sub(r"[\[\],]", "", catalog)).split("\n")
    return "\n".join(" ".join(sorted(line.split())) for line in lines)


def test_push_brings_only_what_the_local_stack_has_not(cli: Cli, shaped_url: str) -> None:
    """What local.database.migrate has recorded, the CLI lists as applied; a new file it pushes."""
    assert database.migrate(shaped_url) == NAMES
    assert cli.ask("db", "push", url=shaped_url)["upToDate"] is True
    listed = cli.ask("migration", "list", url=shaped_url)["migrations"]
    versions = [name.partition("_")[0] for name in NAMES]
    assert [(row["local"], row["remote"]) for row in listed] == [(v, v) for v in versions]
    asked = cli.run("db", "query", "select count(*) from messages", url=shaped_url)
    assert (asked.returncode, "0" in asked.stdout) == (0, True), asked.stderr

    name = "20991231000000_later.sql"
    (cli.workdir / "supabase" / "migrations" / name).write_text("create table public.later ();")
    pushed = cli.ask("db", "push", url=shaped_url)
    assert (pushed["upToDate"], pushed["migrations"]) == (False, [name])


# What the advisors find all the same, and why it stays.
WITH_A_REASON = {
    # A procedure that commits can have no settings; nobody but pg_cron's jobs may call it.
    "function_search_path_mutable": ("private.sweep",),
    # The key has both columns, in the other order: one that began with the user would be read in
    # the place of the search index.
    "unindexed_foreign_keys": ("search.documents",),
}  # fmt: skip


@pytest.mark.promise("schema gate")
def test_the_advisors_find_nothing_and_would(cli: Cli, shaped_url: str) -> None:
    """Security and performance, down to the level of information, but for what has a reason.

    And a table without row-level security, an open search_path, a bare auth.uid(), a bare key.
    """
    _expose_public(shaped_url)
    database.migrate(shaped_url)
    found = cli.findings(shaped_url)
    assert {name for name, _ in found} == WITH_A_REASON.keys()
    for name, detail in found:
        assert any(f"`{thing}`" in detail for thing in WITH_A_REASON[name]), detail
    with psycopg.connect(shaped_url) as connection:
        connection.execute(
            "create table public.planted (id uuid primary key, c uuid references conversations);"
            "grant select on public.planted to anon;"
            "create policy planted on public.turns for update to authenticated"
            " using (user_id = auth.uid());"
            "create function public.planted() returns int language sql security definer"
            " as 'select 1';"
        )
    assert {
        "rls_disabled_in_public",
        "unindexed_foreign_keys",
        "auth_rls_initplan",
        "function_search_path_mutable",
    } <= {name for name, _ in cli.findings(shaped_url)}


def test_the_configuration_is_one_that_the_cli_accepts(cli: Cli, shaped_url: str) -> None:
    """The CLI reads it without a complaint, and complains of one with a wrong value."""
    good = cli.run("db", "push", "--dry-run", url=shaped_url)
    config = cli.workdir / "supabase" / "config.toml"
    config.write_text(config.read_text().replace("major_version = 17", 'major_version = "new"'))
    bad = cli.run("db", "push", "--dry-run", url=shaped_url)
    said = (good.stdout + good.stderr).lower()
    assert good.returncode == 0, said
    assert not [word for word in ("unknown", "deprecated", "invalid") if word in said]
    assert bad.returncode != 0


def test_the_configuration_is_equal_to_hosted_where_it_matters() -> None:
    """Nothing is exposed without a grant; Postgres is hosted's; the ports are the stack's."""
    config = tomllib.loads((SUPABASE / "config.toml").read_text())
    assert config["api"]["auto_expose_new_tables"] is False
    assert config["db"]["major_version"] == 17
    assert (config["api"]["port"], config["db"]["port"]) == (54321, 54322)
    assert "inbucket" not in config


def test_the_configuration_repeats_no_default(cli: Cli, tmp_path: Path) -> None:
    """But the ports and the version, which the stack without Docker keeps to."""
    fresh = dataclasses.replace(cli, workdir=tmp_path / "fresh")
    fresh.workdir.mkdir()
    assert fresh.run("init").returncode == 0
    defaults = _values(fresh.workdir / "supabase" / "config.toml")
    ours = _values(SUPABASE / "config.toml")
    repeated = {name for name, value in ours.items() if defaults.get(name) == value}
    assert repeated == {"api.port", "db.port", "db.major_version"}


def _values(path: Path) -> dict[str, Any]:
    """Return a configuration's values by their dotted names."""

    def flat(table: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from flat(value, f"{above}{name}.")
            else:
                yield f"{above}{name}", value

    return dict(flat(tomllib.loads(path.read_text())))


def _expose_public(url: str) -> None:
    """Say which schemas the Data API serves: the advisors overlook functions otherwise."""
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set pgrst.db_schemas = 'public'".encode())
