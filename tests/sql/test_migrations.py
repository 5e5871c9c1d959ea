"""The migrations make what the schema files say, on every Postgres that this machine has."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from local import database, schema
from local.errors import LocalStackError
from shared.persistence.integrity import SCHEMA_VERSION
from tests.support.catalog import describe, difference, shared_rows, stored_rows
from tests.support.clients import install_clients
from tests.support.postgres import Server, programs_of, running_server

# What is made once, and under which name: a policy's and a trigger's is that of its table too.
MADE = re.compile(
    r"^create (?:or replace )?(?:unique )?"
    r"(?:(function|table|view|type|schema|index|extension)(?: if not exists)? ([\w.]+)"
    r"|(policy|trigger) (\w+)\s[^;]*?\bon ([\w.]+))",
    re.MULTILINE,
)

# Each makes a difference to what the migrations make.
CHANGES = (Path(__file__).parent / "changes.sql").read_text().split(";\n")[:-1]


@pytest.mark.promise("migrations", red="each statement of `changes.sql`, in a control below")
@pytest.mark.parametrize("major", [15, 17, 18])
def test_the_migrations_make_exactly_what_the_schema_files_say(major: int, tmp_path: Path) -> None:
    """On an empty server: all in order, then none; the files of the schema make the same."""
    install_clients()
    programs = programs_of(major)
    if programs is None:
        pytest.skip(f"no PostgreSQL {major} server on this machine (only its programs are needed)")
    for number, path in enumerate(schema.schema_files()):
        (tmp_path / f"{number:03}_{path.name}").write_bytes(path.read_bytes())
    names = [script.name for script in sorted(database.MIGRATIONS.glob("*.sql"))]
    with running_server(programs) as server, server.database() as one, server.database() as other:
        made, applied = _make(one, database.MIGRATIONS)
        said, _ = _make(other, tmp_path)
        again = database.migrate(one)
        with psycopg.connect(one) as connection:
            version = connection.info.server_version // 10_000
    assert (version, applied, again) == (major, names, [])
    assert difference(said, made) == ""


def _make(url: str, folder: Path) -> tuple[str, list[str]]:
    """Apply a folder to an empty database; return all that is in it then, and what was applied."""
    database.shape(url)
    with psycopg.connect(url, autocommit=True) as connection:
        before = shared_rows(connection)
        applied = database.migrate(url, folder)
        assert shared_rows(connection) == before, "a migration changes what all databases share"
        return describe(connection, None) + stored_rows(connection), applied


@pytest.mark.parametrize("change", CHANGES)
def test_negative_control_the_catalog_shows(
    scratch: psycopg.Connection, whole: str, change: str
) -> None:
    """What is changed by hand is a difference."""
    scratch.execute(change.encode())
    assert describe(scratch, None) != whole


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ("alter role anon set statement_timeout = '1s'", shared_rows),
        ("grant service_role to anon", shared_rows),
        ("insert into private.limits (bytes_per_day) values (1)", stored_rows),
    ],
)
def test_negative_control_no_change_beside_the_catalog_is_missed(
    scratch: psycopg.Connection, change: str, look: Callable[[psycopg.Connection], str]
) -> None:
    """Rows that a migration inserts, and what the databases of a server share."""
    before = look(scratch)
    scratch.execute(change.encode())
    assert look(scratch) != before


def test_the_migrations_are_what_the_schema_files_are() -> None:
    """Otherwise: run `make schema`."""
    texts = schema.migration_texts()
    assert {path: path.read_text() for path in database.MIGRATIONS.glob("*.sql")} == texts


def test_the_schema_says_its_version(scratch: psycopg.Connection) -> None:
    """That of the newest migration, which the bundle knows too: the doctor compares the two."""
    newest = max(database.MIGRATIONS.glob("*.sql")).name.partition("_")[0]
    said = scratch.execute("select ping() ->> 'version'").fetchone()
    assert (SCHEMA_VERSION, said) == (newest, (newest,))


def test_every_schema_file_is_named_in_the_configuration() -> None:
    """A file that config.toml doesn't name would be read by nobody."""
    there = set((schema.SUPABASE / "schemas").glob("*.sql"))
    assert {path.resolve() for path in schema.schema_files()} == there


@pytest.mark.promise("migrations")
def test_nothing_is_made_twice() -> None:
    """Each function, table, policy and trigger stands in the schema files once, to be read."""
    text = "\n".join(path.read_text() for path in schema.schema_files())
    assert made_twice(text) == set()
    assert not re.findall(r"^(?:create or replace|drop) .*", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("again", "name"),
    [
        ("create function public.ping(a int) returns int", "function public.ping"),
        ("create or replace function public.ping() returns int", "function public.ping"),
        ("create table public.turns (", "table public.turns"),
        ("create policy select_own on public.turns", "policy select_own on public.turns"),
        (
            "create trigger messages_note_unindexed\n    before insert\n    on public.messages",
            "trigger messages_note_unindexed on public.messages",
        ),
    ],
)
def test_negative_control_what_is_made_twice_is_named(again: str, name: str) -> None:
    """A second definition planted behind the others is found."""
    text = schema.migration_texts()[schema.BASELINE]
    assert made_twice(f"{text}\n{again}") == {name}


def test_the_stack_has_the_same_catalog(db: psycopg.Connection, catalog: str) -> None:
    """The running stack, with its Auth service, has what a bare server has."""
    assert difference(catalog, describe(db)) == ""


def test_shaping_a_migrated_database_again_changes_nothing(
    bare_server: Server, catalog: str
) -> None:
    """What runs on every start leaves the migrations' work as it is."""
    with bare_server.database() as url:
        database.shape(url)
        database.migrate(url)
        database.shape(url)
        with psycopg.connect(url) as connection:
            assert difference(catalog, describe(connection)) == ""


@pytest.mark.promise("migrations")
def test_a_migration_that_fails_leaves_nothing_behind(shaped_url: str, tmp_path: Path) -> None:
    """The one before stays and is recorded; of the broken one there is neither table nor record."""
    (tmp_path / "1_first.sql").write_text("create table public.first (id int);")
    (tmp_path / "2_second.sql").write_text("create table public.second (id int); select 1/0;")
    with pytest.raises(LocalStackError, match=r"2_second\.sql failed: division by zero"):
        database.migrate(shaped_url, tmp_path)
    with psycopg.connect(shaped_url) as connection:
        state = connection.execute(
            "select to_regclass('public.first') is null, to_regclass('public.second') is null,"
            " (select array_agg(version) from supabase_migrations.schema_migrations)"
        ).fetchone()
    assert state == (False, True, ["1"])


def made_twice(text: str) -> set[str]:
    """Return what a text makes more than once, by kind and name."""
    names = [
        f"{found[1]} {found[2]}" if found[1] else f"{found[3]} {found[4]} on {found[5]}"
        for found in MADE.finditer(text)
    ]
    return {name for name in names if names.count(name) > 1}
