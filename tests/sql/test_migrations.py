"""The migrations on every Postgres that this machine has: in order, once, with one result."""

from pathlib import Path

import psycopg
import pytest

from local import database
from local.errors import LocalStackError
from tests.support.catalog import EXPECTED, describe
from tests.support.clients import install_clients
from tests.support.postgres import Server, programs_of, running_server

pytest_plugins = ["tests.support.scratch"]

HOW_TO_REFRESH = "run `.venv/bin/python -m tests.support.catalog` if the change is meant"


@pytest.mark.promise("migrations", red="another default of `turns.draft`")
@pytest.mark.parametrize("major", [15, 17, 18])
def test_migrations_apply_once_and_make_the_expected_catalog(major: int) -> None:
    """On an empty server: all in order, then none, and the catalog is the one in the file."""
    install_clients()
    programs = programs_of(major)
    if programs is None:
        pytest.skip(f"no PostgreSQL {major} server on this machine (only its programs are needed)")
    names = [script.name for script in sorted(database.MIGRATIONS.glob("*.sql"))]
    with running_server(programs) as server:
        database.shape(server.url())
        applied = [database.migrate(server.url()) for _ in range(2)]
        with psycopg.connect(server.url()) as connection:
            version = connection.info.server_version // 10_000
            catalog = describe(connection)
    assert version == major
    assert applied == [names, []]
    assert catalog == EXPECTED.read_text(), HOW_TO_REFRESH


def test_the_stack_has_the_expected_catalog(db: psycopg.Connection) -> None:
    """The running stack, with its Auth service, has the same catalog as a bare server."""
    assert describe(db) == EXPECTED.read_text(), HOW_TO_REFRESH


def test_shaping_a_migrated_database_again_changes_nothing(bare_server: Server) -> None:
    """What runs on every start leaves the migrations' work as it is."""
    with bare_server.database() as url:
        database.shape(url)
        database.migrate(url)
        database.shape(url)
        with psycopg.connect(url) as connection:
            assert describe(connection) == EXPECTED.read_text()


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


def test_negative_control_the_catalog_tells_a_changed_grant(scratch: psycopg.Connection) -> None:
    """One column granted by hand is a difference."""
    scratch.execute("grant update (content) on public.messages to authenticated")
    catalog = describe(scratch)
    assert "messages to authenticated: update (content)" in catalog
    assert catalog != EXPECTED.read_text()
