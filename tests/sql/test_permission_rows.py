"""The catalog against what is expected of it: whatever is new fails until its row is written."""

from collections.abc import Callable

import psycopg
import pytest

from local.stack import Stack
from tests.support.permissions import FUNCTIONS, PRIVATE_FUNCTIONS, PRIVATE_TABLES, ROLES, TABLES
from tests.support.tenants import ACTORS


@pytest.mark.promise("isolation")
def test_every_table_has_its_row(db: psycopg.Connection) -> None:
    """A new table or view in public fails here until its expectations are written."""
    tables = db.execute(
        "select relname::text from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')"
    ).fetchall()
    assert {name for (name,) in tables} == set(TABLES)
    assert all(set(row) == set(ACTORS) for row in TABLES.values())


@pytest.mark.promise("isolation")
def test_every_function_has_its_row(db: psycopg.Connection) -> None:
    """A new function in public fails here until its expectations are written."""
    functions = db.execute(
        "select proname::text from pg_proc where pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert sorted(name for (name,) in functions) == sorted(FUNCTIONS), "or an overload"
    assert all(set(row) == set(ACTORS) for row in FUNCTIONS.values())


@pytest.mark.promise("grants", red="`begin_turn` granted to `anon`")
def test_each_role_may_execute_what_its_row_says_and_nothing_else(db: psycopg.Connection) -> None:
    """By the catalog itself: a call may be refused inside, also where the grant is too wide."""
    granted: dict[str, set[str]] = {name: set() for name in FUNCTIONS}
    for name, role in db.execute(
        "select proname::text, role from pg_proc, unnest(%s::text[]) as role"
        " where pronamespace = 'public'::regnamespace"
        " and has_function_privilege(role, pg_proc.oid, 'execute')",
        ([*ROLES],),
    ):
        granted[name].add(role)
    expected = {
        name: {role for role, actor in ROLES.items() if row[actor] != "denied"}
        for name, row in FUNCTIONS.items()
    }
    assert granted == expected


def test_what_no_api_serves_is_granted_to_those_who_need_it(db: psycopg.Connection) -> None:
    """A new helper or table of ours fails here when a role may use it without need."""
    functions: dict[str, set[str]] = {role: set() for role in ROLES}
    for role, name in db.execute(
        "select role, proname::text from pg_proc, unnest(%s::text[]) as role"
        " where pronamespace in ('private'::regnamespace, 'search'::regnamespace)"
        " and has_function_privilege(role, pg_proc.oid, 'execute')",
        ([*ROLES],),
    ):
        functions[role].add(name)
    tables = db.execute(
        "select role, relname::text, command from pg_class,"
        " unnest(%s::text[]) as role,"
        " unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'trigger',"
        "              'references']) as command"
        " where relnamespace = 'private'::regnamespace and relkind not in ('i', 'I', 'S', 'c')"
        " and (has_table_privilege(role, pg_class.oid, command) or"
        "      command in ('select', 'insert', 'update', 'references')"
        "      and has_any_column_privilege(role, pg_class.oid, command))",
        ([*ROLES],),
    ).fetchall()
    assert functions == PRIVATE_FUNCTIONS
    assert set(tables) == PRIVATE_TABLES


@pytest.mark.parametrize(
    ("planted", "check"),
    [
        (
            "grant execute on function public.ping() to anon",
            test_each_role_may_execute_what_its_row_says_and_nothing_else,
        ),
        (
            "grant execute on function private.is_held(uuid, uuid) to authenticated",
            test_what_no_api_serves_is_granted_to_those_who_need_it,
        ),
        (
            "create view private.planted as select 1 as one;"
            " grant select on private.planted to authenticated",
            test_what_no_api_serves_is_granted_to_those_who_need_it,
        ),
        (
            "grant references on private.limits to service_role",
            test_what_no_api_serves_is_granted_to_those_who_need_it,
        ),
        (
            "create function search.planted() returns int language sql as 'select 1'",
            test_what_no_api_serves_is_granted_to_those_who_need_it,
        ),
    ],
)
def test_negative_control_a_grant_too_many_is_noticed(
    stack: Stack, planted: str, check: Callable[[psycopg.Connection], None]
) -> None:
    """Also one that leads nowhere, since what the function calls is withheld."""
    with psycopg.connect(stack.settings.db_url) as connection:
        connection.execute(planted.encode())
        with pytest.raises(AssertionError):
            check(connection)
        connection.rollback()


def test_negative_control_a_table_without_a_row_is_noticed(stack: Stack) -> None:
    """A table planted in a transaction makes the test for missing rows fail."""
    with psycopg.connect(stack.settings.db_url) as connection:
        connection.execute("create table public.planted (id int)")
        connection.execute(
            "create function public.planted() returns int language sql as 'select 1'"
        )
        with pytest.raises(AssertionError):
            test_every_table_has_its_row(connection)
        with pytest.raises(AssertionError):
            test_every_function_has_its_row(connection)
        connection.rollback()
