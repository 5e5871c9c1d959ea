"""The old tables and the new ones as the catalog has them, and whether they can be adopted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

LEGACY: Final = "legacy_chat"  # where old tables are moved to, out of the new ones' way

TEXTS: Final = frozenset({"text", "varchar", "bpchar", "citext", "name"})
MOMENTS: Final = frozenset({"timestamptz", "timestamp", "date"})

_COLUMNS = """
select a.attname, coalesce(b.typname, t.typname), a.attgenerated <> ''
from pg_attribute as a
join pg_type as t on t.oid = a.atttypid
left join pg_type as b on b.oid = t.typbasetype
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

_HAS_KEY = """
select exists (
    select from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = to_regclass(%s)
      and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
      and a.attname = 'id' and a.attnotnull
)
"""


class CannotAdoptError(Exception):
    """What stands in the way, in a sentence for whoever runs the program."""


@dataclass(frozen=True)
class Column:
    """A column: its name, the type below any domain, and whether Postgres computes it."""

    name: str
    type: str
    is_generated: bool


@dataclass(frozen=True)
class Table:
    """A table of a schema, with its columns by name."""

    schema: str
    name: str
    columns: dict[str, Column]

    @property
    def identifier(self) -> sql.Identifier:
        """Return its name as SQL writes it."""
        return sql.Identifier(self.schema, self.name)

    def column(self, name: str, *types: str) -> Column | None:
        """Return a column of one of these types, if there is one."""
        found = self.columns.get(name)
        return found if found and (not types or found.type in types) else None


@dataclass(frozen=True)
class Chats:
    """The two tables of a schema."""

    conversations: Table
    messages: Table

    @property
    def are_ours(self) -> bool:
        """Return whether they are this system's own."""
        return {"seq", "turn_id"} <= self.messages.columns.keys()


def read_chats(connection: psycopg.Connection, schema: str) -> Chats | None:
    """Return the tables of a schema; None if it doesn't have both."""
    conversations, messages = (
        _read_table(connection, schema, name) for name in ("conversations", "messages")
    )
    return Chats(conversations, messages) if conversations and messages else None


def require_adoptable(connection: psycopg.Connection, old: Chats) -> None:
    """Raise CannotAdoptError if the tables lack what an adoption stands on."""
    for table, names in (
        (old.conversations, ("id", "user_id")),
        (old.messages, ("id", "conversation_id", "role", "content")),
    ):
        place = f"{table.schema}.{table.name}"
        for name in names:
            if name not in table.columns:
                raise CannotAdoptError(f"{place} has no column {name}.")
        if not _asks(connection, _HAS_KEY, place_of(table)):
            raise CannotAdoptError(
                f"The ids of {place} are not unique: alter table {place} add primary key (id)."
            )
        for name in ("created_at", "updated_at"):
            column = table.columns.get(name)
            if column and column.type not in MOMENTS:
                raise CannotAdoptError(
                    f"{place}.{name} is of type {column.type}: make it timestamptz first."
                )


def place_of(table: Table) -> str:
    """Return a table's name as to_regclass reads it."""
    return f'"{table.schema}"."{table.name}"'


def _read_table(connection: psycopg.Connection, schema: str, name: str) -> Table | None:
    rows = connection.execute(_COLUMNS, (place_of(Table(schema, name, {})),)).fetchall()
    return Table(schema, name, {row[0]: Column(*row) for row in rows}) if rows else None


def _asks(connection: psycopg.Connection, question: str, place: str) -> bool:
    row = connection.execute(question.encode(), (place,)).fetchone()
    return bool(row and row[0])
