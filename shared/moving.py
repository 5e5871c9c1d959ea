"""Moves all that is stored of a user to another store: python -m shared.moving --user ID.

While it runs STORE_OF has to answer None for the user, in every process, and for STORE_TIMEOUT
before it; afterwards the new store. Runs as the tables' owner, straight at both servers. However it
was ended, the same command goes on: a user is whole in one store, or the same in both.

Exits with 0 when all is at the destination and nothing at the source, 1 when it refuses, 2 where an
argument is wrong, 3 when a server can't be reached or is busy.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from .config.problems import fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Connection = psycopg.Connection[tuple[Any, ...]]

MOVED, REFUSED, UNREACHABLE = 0, 1, 3

# Rows are taken as they are: no trigger gives a place, sends an event or counts a deletion. And
# both servers write a row as the same text. Only until the commit, since a pooler gives the
# connection to others.
SESSION: Final = """
set local session_replication_role = replica;
set local search_path = '';
set local row_security = off;
set local timezone = 'UTC';
set local datestyle = 'ISO';
set local extra_float_digits = 1;
set local bytea_output = 'hex';
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local lock_timeout = '5s';
set local synchronous_commit = on;
"""

ALONE: Final = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"

# From the catalog, so that none can be forgotten: conversations, what refers to them by user, and
# in the schemas that are ours alone each table with a user.
TABLES: Final = """
with recursive kept (id) as (
    select to_regclass(format('%%I.conversations', %(schema)s::text))::oid
    union
    select k.conrelid
    from pg_constraint as k
    join kept on kept.id = k.confrelid
    join pg_attribute as a
        on a.attrelid = k.conrelid and a.attnum = k.conkey[1] and a.attname = 'user_id'
    where k.contype = 'f'
)
select n.nspname::text, c.relname::text, array_agg(a.attname::text order by a.attname)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a
    on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where c.relkind in ('r', 'p') and not c.relispartition
  and (c.oid in (select id from kept) or n.nspname = any (%(private)s::text[]))
group by n.nspname, c.relname
having bool_or(a.attname = 'user_id')
order by c.relname <> 'conversations', n.nspname, c.relname
"""

# Somebody's own, which would refer to nothing: no foreign key is asked here. And old tables that an
# adoption has put aside, which no erasure at the destination would reach.
LEFT_BEHIND: Final = """
select string_agg(distinct behind.id::regclass::text, ', ')
from (
    select k.conrelid
    from pg_constraint as k
    where k.contype = 'f'
      and k.confrelid = any (%(ours)s::regclass[])
      and k.conrelid <> all (%(ours)s::regclass[])
    union all
    select to_regclass('legacy_chat.conversations')
) as behind (id)
"""

ROWS: Final = sql.SQL("select {columns} from {table} where user_id = {user}")
LOCK: Final = sql.SQL("select from {table} where user_id = {user} for update")
REMOVE: Final = sql.SQL("delete from {table} where user_id = {user}")
# The same for the same rows, in whatever order.
SUM: Final = sql.SQL(
    "select count(*), coalesce(sum(hashtextextended(row({columns})::text, 0)), 0)"
    " from {table} where user_id = {user}"
)

Sums = dict["Table", tuple[int, Any]]


class RefusedError(Exception):
    """The user can't be moved; the message says why."""


@dataclass(frozen=True)
class Table:
    """A table that has rows of users."""

    schema: str
    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def write(self, query: sql.SQL, user_id: UUID) -> sql.Composed:
        """Return a statement about a user's rows of this table."""
        return query.format(
            table=sql.Identifier(self.schema, self.name),
            columns=sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            user=sql.Literal(user_id),
        )


def tables_of(db: Connection, schema: str) -> list[Table]:
    """Return the tables that have rows of users, that of conversations first."""
    private = ["private", "search"]
    if schema != "public":
        private = [f"{schema}_{name}" for name in private]
    rows = db.execute(TABLES, {"schema": schema, "private": private}).fetchall()
    return [Table(row[0], row[1], tuple(row[2])) for row in rows]


def move_user(
    user_id: UUID,
    source: Connection,
    destination: Connection,
    *,
    schema: str = "public",
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Mapping[str, int]:
    """Move a user's rows, and return how many there are of each table.

    `overwrite` takes what the destination has of the user for a copy that is out of date. `say` is
    told of each step. Raises RefusedError, and then nothing is changed.
    """
    for db in (source, destination):
        db.execute(SESSION.encode())
    _be_alone(user_id, source, destination)
    tables = _same_tables(source, destination, schema)
    _lock(source, tables, user_id)
    say("locked")
    ours, theirs = _sums(source, tables, user_id), _sums(destination, tables, user_id)
    if not _rows(ours):
        return _counts(theirs)
    if ours != theirs:
        if _rows(theirs) and not overwrite:
            raise RefusedError("both stores have rows of this user, and they differ")
        _copy_all(source, destination, tables, user_id)
        if _sums(destination, tables, user_id) != ours:
            raise RefusedError("what was copied is not what was there")
        say("copied")
        destination.commit()
    say("stored")
    for table in tables:
        source.execute(table.write(REMOVE, user_id))
    say("removed")
    source.commit()
    return _counts(ours)


def _be_alone(user_id: UUID, source: Connection, destination: Connection) -> None:
    """Wait for whoever moves the user as well; refuse a destination that is the source itself.

    There everything would be found the same, and removed.
    """
    source.execute(ALONE, (str(user_id),))
    try:
        destination.execute(ALONE, (str(user_id),))
    except psycopg.errors.LockNotAvailable as exc:
        raise RefusedError("both are one database, or the user is moved back right now") from exc


def _same_tables(source: Connection, destination: Connection, schema: str) -> list[Table]:
    """Return the tables to move, which both have, and none of somebody's own depends on."""
    tables = tables_of(source, schema)
    if not tables or tables != tables_of(destination, schema):
        raise RefusedError("the two stores have not the same tables, or none")
    (left,) = source.execute(LEFT_BEHIND, {"ours": [str(table) for table in tables]}).fetchall()
    if left[0]:
        raise RefusedError(f"{left[0]} names no user_id, or an old table, and would stay behind")
    return tables


def _lock(db: Connection, tables: Sequence[Table], user_id: UUID) -> None:
    """Lock every row, and the account, which new rows would refer to; in the order of all others.

    Nobody writes by then. Whoever does it all the same waits here, and is refused in time.
    """
    conversations, *others = tables
    db.execute(conversations.write(LOCK, user_id))
    db.execute("select from auth.users where id = %s for update", (user_id,))
    for table in (conversations, *others):
        db.execute(table.write(LOCK, user_id))


def _copy_all(
    source: Connection, destination: Connection, tables: Sequence[Table], user_id: UUID
) -> None:
    account = "select from auth.users where id = %s for key share"
    if destination.execute(account, (user_id,)).fetchone() is None:
        raise RefusedError("the destination has no account of this user in auth.users")
    for table in tables:
        destination.execute(table.write(REMOVE, user_id))
    for table in tables:
        rows = sql.SQL("copy ({}) to stdout").format(table.write(ROWS, user_id))
        into = table.write(sql.SQL("copy {table} ({columns}) from stdin"), user_id)
        with source.cursor().copy(rows) as reading, destination.cursor().copy(into) as writing:
            for block in reading:
                writing.write(block)


def _sums(db: Connection, tables: Sequence[Table], user_id: UUID) -> Sums:
    sums = {}
    for table in tables:
        (found,) = db.execute(table.write(SUM, user_id)).fetchall()
        sums[table] = (int(found[0]), found[1])
    return sums


def _rows(sums: Sums) -> int:
    return sum(count for count, _ in sums.values())


def _counts(sums: Sums) -> Mapping[str, int]:
    return {str(table): count for table, (count, _) in sums.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Move a user, and print what was moved; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with (
            psycopg.connect(options.source, connect_timeout=10) as source,
            psycopg.connect(options.destination, connect_timeout=10) as destination,
        ):
            counts = move_user(
                options.user,
                source,
                destination,
                schema=options.schema,
                overwrite=options.overwrite,
                say=lambda step: print(step, flush=True),
            )
    except RefusedError as exc:
        return fail(f"Nothing was moved: {exc}.", REFUSED)
    except psycopg.OperationalError as exc:
        return fail(f"A server can't be reached, or is busy: {exc}\nRun it again.", UNREACHABLE)
    except psycopg.Error as exc:
        return fail(f"A server refuses: {exc}\nIs this the tables' owner?", REFUSED)
    for table, count in counts.items():
        print(f"{table:32} {count:>10,}")
    print("All of it is at the destination, and nothing at the source.")
    return MOVED


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m shared.moving", description=summary)
    add = parser.add_argument
    add("--user", type=UUID, required=True, metavar="ID", help="whose rows")
    add("--source", required=True, metavar="URL", help="the Postgres that has them")
    add("--destination", required=True, metavar="URL", help="the Postgres that is to have them")
    add("--schema", default="public", help="as DATABASE_SCHEMA (default: %(default)s)")
    add("--overwrite", action="store_true", help="remove first what the destination has of them")
    return parser


if __name__ == "__main__":
    sys.exit(main())
