"""Columns of an old table as the values that this system stores: SQL expressions of a row `o`.

Each is null if the column is missing or holds nothing that can be stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from .tables import MOMENTS, TEXTS

if TYPE_CHECKING:
    from psycopg.sql import Composable

    from .tables import Table

# Text that is no JSON is an error to a cast, and to nothing else before Postgres 16.
JSON_OF: Final = """
create or replace function pg_temp.json_of(source text) returns jsonb
language plpgsql immutable as $$
begin
    return source::jsonb;
exception
    when others then return null;
end;
$$
"""

ROLE: Final = sql.SQL("""
    case lower(o.role::text)
        when 'user' then 'user' when 'human' then 'user'
        when 'assistant' then 'assistant' when 'ai' then 'assistant'
        when 'bot' then 'assistant' when 'model' then 'assistant'
        else 'system'
    end""")

_UUID = sql.Literal("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def raw(name: str) -> Composable:
    """Return the column itself."""
    return sql.SQL("o.{}").format(sql.Identifier(name))


def text(table: Table, name: str) -> Composable:
    """Return a column as text."""
    return sql.SQL("{}::text").format(raw(name)) if name in table.columns else sql.SQL("null::text")


def uuid(table: Table, name: str) -> Composable:
    """Return a column as a uuid."""
    if table.column(name, "uuid"):
        return raw(name)
    if table.column(name, *TEXTS):
        return sql.SQL("case when {0}::text ~* {1} then {0}::uuid end").format(raw(name), _UUID)
    return sql.SQL("null::uuid")


def row_id(table: Table) -> Composable:
    """Return the id as a uuid: itself, or one that its table and value make, always the same."""
    if table.column("id", "uuid"):
        return raw("id")
    made = sql.SQL(
        "overlay(overlay(encode(substring(sha256(convert_to({} || o.id::text, 'UTF8')) for 16),"
        " 'hex') placing '8' from 13 for 1) placing '8' from 17 for 1)::uuid"
    ).format(sql.Literal(f"{table.name}:"))
    return sql.SQL("coalesce({}, {})").format(uuid(table, "id"), made)


def time(table: Table, name: str) -> Composable:
    """Return a time as it stands; one without a zone is UTC, as Supabase's clock is."""
    if table.column(name, "timestamptz"):
        return raw(name)
    if table.column(name, *MOMENTS):
        return sql.SQL("({}::timestamp at time zone 'UTC')").format(raw(name))
    return sql.SQL("null::timestamptz")


def moment(table: Table, name: str) -> Composable:
    """Return a time that an export can say: none before 1970, and null for one that is to come."""
    return sql.SQL("case when {0} <= now() then greatest({0}, 'epoch') end").format(
        time(table, name)
    )


def metadata(table: Table) -> Composable:
    """Return the metadata, where it is an object of a depth that can be stored."""
    return sql.SQL(
        "case when jsonb_typeof({0}) = 'object'"
        " and not jsonb_path_exists({0}, 'strict $.**{{128}}') then {0} end"
    ).format(_json(table, "metadata"))


def value(table: Table, name: str) -> Composable:
    """Return a column as it stands in a note: as JSON, or as text where that can't be stored."""
    if not table.column(name, "json", "jsonb"):
        return sql.SQL("to_jsonb({})").format(raw(name))
    return sql.SQL(
        "case when not jsonb_path_exists({0}, 'strict $.**{{120}}') then {0}"
        " else to_jsonb({1}::text) end"
    ).format(_json(table, name), raw(name))


def is_deleted(table: Table) -> Composable:
    """Return whether the old application only marked the row as deleted."""
    flags = [name for name in ("is_deleted", "deleted") if table.column(name, "bool")]
    marks: list[Composable] = [sql.SQL("coalesce({}, false)").format(raw(name)) for name in flags]
    if table.column("deleted_at", *MOMENTS):
        marks.append(sql.SQL("o.deleted_at is not null"))
    return sql.SQL(" or ").join(marks) if marks else sql.SQL("false")


def _json(table: Table, name: str) -> Composable:
    if table.column(name, "jsonb"):
        return raw(name)
    return sql.SQL("pg_temp.json_of({})").format(text(table, name))
