"""Old tables that stand in the new ones' place: the migration that moves them aside.

A migration and no command of this program, so that whoever makes the database from its migrations
gets the same. Postgres knows tables by number: what hangs on the old ones goes on pointing at them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg import sql

from .erasing import erase_function
from .tables import LEGACY, Chats, place_of

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

_HISTORY: Final = "supabase_migrations.schema_migrations"
_STAMP: Final = "%Y%m%d%H%M%S"

_MIGRATION: Final = """\
-- Moves the old chat tables out of the new ones' way, with their rows, indexes, policies and
-- triggers, into a schema that no API serves. Policies and views that hang on them need to use it.
{hanging}
set local lock_timeout = '10s';

create schema {legacy};
grant usage on schema {legacy} to anon, authenticated, service_role;

alter table if exists {schema}.messages set schema {legacy};
alter table if exists {schema}.conversations set schema {legacy};

{erasing}"""

_HANGING: Final = """
with old (id) as (
    select unnest(array[to_regclass(%(conversations)s), to_regclass(%(messages)s)])
)
select 'foreign key', format(
    '%%s of %%s points at the old table: alter table %%2$s drop constraint %%1$I, add constraint'
    ' %%1$I %%3$s', quote_ident(c.conname), c.conrelid::regclass,
    pg_get_constraintdef(c.oid))
from pg_constraint as c
where c.contype = 'f' and c.confrelid in (select id from old)
  and c.conrelid not in (select id from old)
union
select 'view', format('%%s shows the old rows', r.ev_class::regclass)
from pg_depend as d
join pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
where d.refobjid in (select id from old) and r.ev_class not in (select id from old)
union
select 'policy', format('%%I on %%s asks the old rows', p.polname, p.polrelid::regclass)
from pg_depend as d
join pg_policy as p on d.classid = 'pg_policy'::regclass and p.oid = d.objid
where d.refobjid in (select id from old) and p.polrelid not in (select id from old)
union
select 'trigger', format('%%I on %%s fires for the old table alone', t.tgname, t.tgrelid::regclass)
from pg_trigger as t
where t.tgrelid in (select id from old) and not t.tgisinternal
union
select 'publication', format('%%s sends changes of the old %%s', p.pubname, r.prrelid::regclass)
from pg_publication_rel as r
join pg_publication as p on p.oid = r.prpubid
where r.prrelid in (select id from old)
union
select 'function', format('%%s names the table, and then finds the new one', f.oid::regprocedure)
from pg_proc as f
join pg_language as l on l.oid = f.prolang
where l.lanname in ('sql', 'plpgsql')
  and f.prosrc ~* '\\m(messages|conversations)\\M'
  and f.pronamespace::regnamespace::text not in (
      'pg_catalog', 'information_schema', 'auth', 'storage', 'realtime', 'extensions', 'graphql',
      'vault', 'pgbouncer', 'cron', 'net'
  )
  and f.pronamespace::regnamespace::text !~ '^pg_'
order by 1, 2
"""


def what_hangs_on(connection: psycopg.Connection, old: Chats) -> list[str]:
    """Return a line for each object that goes on with the old tables, or changes over."""
    found = connection.execute(
        _HANGING,
        {"conversations": place_of(old.conversations), "messages": place_of(old.messages)},
    ).fetchall()
    return [f"{kind} {' '.join(what.split())}" for kind, what in found]


def write_migration(folder: Path, connection: psycopg.Connection, old: Chats) -> Path:
    """Write the migration, right after those that were applied: this system's own comes later."""
    schema = old.messages.schema
    lines = [f"-- {line}" for line in what_hangs_on(connection, old)]
    text = _MIGRATION.format(
        schema=sql.Identifier(schema).as_string(connection),
        legacy=LEGACY,
        erasing=erase_function(old),
        hanging="\n".join(["--", *lines]) if lines else "--",
    )
    path = folder / f"{_version(folder, connection)}_move_old_chats_aside.sql"
    path.write_text(text)
    return path


def _version(folder: Path, connection: psycopg.Connection) -> str:
    """Return the second after the newest applied one; where none was, before all in the folder."""
    there = connection.execute("select to_regclass(%s)", (_HISTORY,)).fetchone()
    if there != (None,):
        row = connection.execute(
            f"select max(version) from {_HISTORY} where version ~ '^[0-9]{{14}}$'".encode()  # noqa: S608
        ).fetchone()
        if row and row[0]:
            return f"{datetime.strptime(row[0], _STAMP) + timedelta(seconds=1):{_STAMP}}"
    stamps = sorted(path.name[:14] for path in folder.glob("[0-9]" * 14 + "_*.sql"))
    if stamps:
        return f"{datetime.strptime(stamps[0], _STAMP) - timedelta(seconds=1):{_STAMP}}"
    return f"{datetime.now(UTC):{_STAMP}}"
