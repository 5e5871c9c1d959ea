"""Who owns what: the stack's roles have the rights that a hosted project's have."""

from pathlib import Path

import psycopg
import pytest

from local import database
from local.errors import LocalStackError


def test_what_the_migrations_make_belongs_to_a_role_that_is_no_superuser(
    scratch: psycopg.Connection,
) -> None:
    """Functions that run as their owner can do no more than on a hosted project."""
    owners = scratch.execute(
        "select pg_get_userbyid(relowner) from pg_class where relnamespace = 'public'::regnamespace"
        " union select pg_get_userbyid(proowner) from pg_proc"
        " where pronamespace in ('public'::regnamespace, 'private'::regnamespace)"
    ).fetchall()
    assert owners == [("postgres",)]
    assert scratch.execute(
        "select rolsuper, rolbypassrls from pg_roles where rolname = 'postgres'"
    ).fetchone() == (False, True)


@pytest.mark.parametrize("name", ["supabase_realtime_admin", "supabase_auth_admin"])
def test_the_platforms_own_tables_stay_the_platforms(
    scratch: psycopg.Connection, name: str
) -> None:
    """Nor is the project's owner a member of their roles once the migrations are applied."""
    tables = {"supabase_realtime_admin": "realtime.messages", "supabase_auth_admin": "auth.users"}
    assert scratch.execute(
        "select pg_get_userbyid(relowner), pg_has_role('postgres', %s, 'usage')"
        " from pg_class where oid = %s::regclass",
        (name, tables[name]),
    ).fetchone() == (name, False)


def test_nobody_but_realtime_deletes_live_events(scratch: psycopg.Connection) -> None:
    """Not the project's owner either: what is erased there has to be emptied."""
    for role in ("anon", "authenticated", "service_role", "postgres"):
        found = scratch.execute(
            "select has_table_privilege(%s, 'realtime.messages', 'delete')", (role,)
        )
        assert found.fetchone() == (False,)


def test_a_new_table_is_nobodys_until_it_is_granted(scratch: psycopg.Connection) -> None:
    """As on projects made since the default privileges are gone."""
    scratch.execute("set local role postgres; create table public.new (id int)")
    for role in ("anon", "authenticated", "service_role"):
        found = scratch.execute("select has_table_privilege(%s, 'public.new', 'select')", (role,))
        assert found.fetchone() == (False,)


def test_a_migration_that_needs_a_superuser_fails(shaped_url: str, tmp_path: Path) -> None:
    """Here, and not first on the project that it was written for."""
    (tmp_path / "1_first.sql").write_text("alter table auth.users add column ours int;")
    with pytest.raises(LocalStackError, match="must be owner of table users"):
        database.migrate(shaped_url, tmp_path)
