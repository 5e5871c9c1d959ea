"""The old rows as this system stores them: a temporary view of each old table.

What can't be stored as it was stands in `note`, by its column's name, and so does every column that
this system doesn't have. The note becomes `metadata.adopted`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from . import columns
from .columns import ROLE, raw
from .tables import MOMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from psycopg.sql import Composable, Composed

    from .tables import Chats, Table

# Made from other columns, and large: they can be made again.
DERIVED: Final = frozenset({"tsvector", "vector", "halfvec", "sparsevec"})

_CONVERSATIONS: Final = """
create temporary view old_conversations as
select o.id as source_id, o.id::text as key, {id} as id,
       {user_key} as user_key, {user_id} as user_id,
       coalesce({title}, 'New Chat') as title, {project_id} as project_id,
       coalesce({metadata}, '{{}}') as metadata,
       {created_at} as created_at, {updated_at} as updated_at, {archived_at} as archived_at,
       {is_deleted} as is_deleted, {note} as note
from {table} as o
"""

_MESSAGES: Final = """
create temporary view old_messages as
select o.id as source_id, {id} as id, o.conversation_id::text as key,
       {user_key} as user_key, {user_id} as user_id, {role} as role,
       coalesce(o.content::text, '') as content, {generated_code} as generated_code,
       coalesce({metadata}, '{{}}') as metadata,
       {is_summary} and {role} = 'system' as is_summary,
       {original_at} as original_at, {created_at} as created_at,
       {is_deleted} as is_deleted, {note} as note
from {table} as o
"""

_TITLE = sql.SQL("nullif(btrim(left({}, 200)), '')")


def define_views(connection: psycopg.Connection, old: Chats) -> None:
    """Define old_conversations and old_messages for this session."""
    connection.execute(columns.JSON_OF)
    connection.execute(_conversations(old.conversations))
    connection.execute(_messages(old.messages))


def left_behind(table: Table) -> list[str]:
    """Return the columns that stay in the old table alone, since they are made from others."""
    return [c.name for c in table.columns.values() if c.is_generated or c.type in DERIVED]


def stored_metadata(row: str) -> Composable:
    """Return the metadata that is stored of a row of a view: its own, and the note."""
    return sql.SQL(
        "{0}.metadata || case when {0}.note = '{{}}' then '{{}}' else"
        " jsonb_build_object('adopted', {0}.note || case when {0}.metadata ? 'adopted'"
        " then jsonb_build_object('adopted', {0}.metadata -> 'adopted') else '{{}}' end) end"
    ).format(sql.Identifier(row))


def _conversations(table: Table) -> Composed:
    title = columns.text(table, "title")
    fitting = _TITLE.format(title)
    notes = _Notes(table, "id", "user_id")
    notes.changed("title", sql.SQL("coalesce({}, 'New Chat') <> {}").format(fitting, title))
    notes.changed("metadata", _is_lost(table, columns.metadata(table)))
    notes.changed("project_id", _is_lost(table, columns.uuid(table, "project_id"), "project_id"))
    notes.moved("created_at", "updated_at", "archived_at")
    return sql.SQL(_CONVERSATIONS).format(
        table=table.identifier,
        id=columns.row_id(table),
        user_key=columns.text(table, "user_id"),
        user_id=columns.uuid(table, "user_id"),
        title=fitting,
        project_id=columns.uuid(table, "project_id"),
        metadata=columns.metadata(table),
        created_at=columns.moment(table, "created_at"),
        updated_at=columns.moment(table, "updated_at"),
        archived_at=columns.moment(table, "archived_at"),
        is_deleted=columns.is_deleted(table),
        note=notes.object(),
    )


def _messages(table: Table) -> Composed:
    has_summary = table.column("is_summary", "bool") is not None
    is_summary = sql.SQL("coalesce(o.is_summary, false)" if has_summary else "false")
    notes = _Notes(table, "id", "conversation_id", "user_id", "generated_code")
    notes.changed("role", sql.SQL("{} is distinct from o.role::text").format(ROLE))
    notes.changed("content", sql.SQL("o.content is null"))
    notes.changed("metadata", _is_lost(table, columns.metadata(table)))
    if has_summary:
        notes.changed("is_summary", sql.SQL("o.is_summary and {} <> 'system'").format(ROLE))
    notes.moved("created_at")
    return sql.SQL(_MESSAGES).format(
        table=table.identifier,
        id=columns.row_id(table),
        user_key=columns.text(table, "user_id"),
        user_id=columns.uuid(table, "user_id"),
        role=ROLE,
        generated_code=columns.text(table, "generated_code"),
        metadata=columns.metadata(table),
        is_summary=is_summary,
        original_at=columns.time(table, "created_at"),
        created_at=columns.moment(table, "created_at"),
        is_deleted=columns.is_deleted(table),
        note=notes.object(),
    )


def _is_lost(table: Table, stored: Composable, name: str = "metadata") -> Composable:
    if name not in table.columns:
        return sql.SQL("false")
    return sql.SQL("{} is not null and {} is null").format(raw(name), stored)


class _Notes:
    """What is noted of a table's rows: columns that changed, and those that nothing here holds.

    `whole` names those that are stored as they are; of an id that is no uuid, the value is noted.
    """

    def __init__(self, table: Table, *whole: str) -> None:
        self._table = table
        self._known = set(whole)
        self._parts: list[Composable] = [sql.SQL("'{}'::jsonb")]
        for name in ("id", "conversation_id"):
            if name in self._known and not table.column(name, "uuid"):
                self.changed(name, sql.SQL("true"))

    def changed(self, name: str, when: Composable) -> None:
        """Note a column, where it is not stored as it was."""
        self._known.add(name)
        if name in self._table.columns:
            self._parts.append(
                sql.SQL("case when {} then jsonb_build_object({}, {}) else '{{}}' end").format(
                    when, sql.Literal(name), columns.value(self._table, name)
                )
            )

    def moved(self, *names: str) -> None:
        """Note times that can't be kept, and whatever else stands in a column of such a name."""
        for name in names:
            if self._table.column(name, *MOMENTS):
                moment, time = columns.moment(self._table, name), columns.time(self._table, name)
                self.changed(name, sql.SQL("{} is distinct from {}").format(moment, time))

    def object(self) -> Composable:
        """Return them all as one JSON object."""
        for name in sorted(self._unknown()):
            self.changed(name, sql.SQL("{} is not null").format(raw(name)))
        return sql.SQL(" || ").join(self._parts)

    def _unknown(self) -> Iterator[str]:
        aside = {*self._known, *left_behind(self._table)}
        return (name for name in self._table.columns if name not in aside)
