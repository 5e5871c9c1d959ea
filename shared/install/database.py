"""A look at the project's database: what an install has to know of it. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

CONNECT_SECONDS = 10

WHO = """
    select current_setting('server_version_num')::int / 10000, current_user::text,
           coalesce(array_agg(name) filter (where there is null), '{}')
    from (
        values
            ('the schema auth', to_regnamespace('auth')::text),
            ('auth.uid()', to_regprocedure('auth.uid()')::text),
            ('auth.users', to_regclass('auth.users')::text),
            ('realtime.messages', to_regclass('realtime.messages')::text),
            ('realtime.send()', to_regprocedure('realtime.send(jsonb,text,text,boolean)')::text),
            ('the role anon', to_regrole('anon')::text),
            ('the role authenticated', to_regrole('authenticated')::text),
            ('the role service_role', to_regrole('service_role')::text)
    ) as needed (name, there)
"""
EXTENSIONS = "select extname::text, extnamespace::regnamespace::text from pg_extension"
RELATIONS = """
    select format('%%s.%%s', relnamespace::regnamespace, relname)
    from pg_class where relnamespace::regnamespace::text = any(%s)
"""
ROUTINES = """
    select format('%%s.%%s', pronamespace::regnamespace, proname)
    from pg_proc where pronamespace::regnamespace::text = any(%s)
"""
POLICIES = "select polname::text from pg_policy where polrelid = to_regclass('realtime.messages')"
# As a member of the table's owner; or through supautils, which hosted projects have.
MAY_MAKE_POLICIES = """
    select pg_has_role(relowner, 'member')
        or coalesce(current_setting('supautils.policy_grants', true), '') like '%realtime.messages%'
    from pg_class where oid = to_regclass('realtime.messages')
"""
EXPOSED = """
    select substr(setting, strpos(setting, '=') + 1)
    from pg_db_role_setting, unnest(setconfig) as setting
    where setting like 'pgrst.db_schemas=%'
      and setdatabase in (0, (select oid from pg_database where datname = current_database()))
    order by setdatabase desc
"""
HISTORY = "select version from supabase_migrations.schema_migrations order by version"
JOBS = "select coalesce(jobname, '') from cron.job"


class UnreachableError(Exception):
    """The database can't be asked; the message says why."""


@dataclass(frozen=True)
class Database:
    """What was found."""

    version: int
    user: str
    missing: list[str]  # of what every Supabase project has
    extensions: dict[str, str]
    relations: set[str]
    routines: set[str]
    policies: set[str]  # on realtime.messages
    may_make_policies: bool
    exposed: list[str] | None  # None if the database doesn't say
    history: list[str] | None  # None if the CLI has never pushed
    jobs: set[str] | None  # None without pg_cron

    @property
    def applied(self) -> set[str]:
        """The versions of the migrations that it has."""
        return set(self.history or [])


def look_at(url: str, schemas: Sequence[str]) -> Database:
    """Look at a database, and into these schemas of it; raises UnreachableError."""
    try:
        import psycopg  # whoever names no database needs none
    except ImportError as exc:
        raise UnreachableError("psycopg is needed: the extra `database` brings it") from exc
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            connection.read_only = True
            return _look(connection, schemas)
    except psycopg.Error as exc:
        raise UnreachableError(str(exc).strip()) from exc


def _look(connection: psycopg.Connection, schemas: Sequence[str]) -> Database:
    version, user, missing = _rows(connection, WHO)[0]
    extensions = dict(_rows(connection, EXTENSIONS))
    return Database(
        version=version,
        user=user,
        missing=missing,
        extensions=extensions,
        relations=_names(connection, RELATIONS, list(schemas)),
        routines=_names(connection, ROUTINES, list(schemas)),
        policies=_names(connection, POLICIES),
        may_make_policies=_rows(connection, MAY_MAKE_POLICIES) == [(True,)],
        exposed=_exposed(connection),
        history=_history(connection),
        jobs=_names(connection, JOBS) if "pg_cron" in extensions else None,
    )


def _rows(connection: psycopg.Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    # A percent sign is doubled only where there are values.
    return connection.execute(query.encode(), values or None).fetchall()


def _names(connection: psycopg.Connection, query: str, *values: Any) -> set[str]:
    return {row[0] for row in _rows(connection, query, *values)}


def _exposed(connection: psycopg.Connection) -> list[str] | None:
    found = _rows(connection, EXPOSED)
    return [name.strip() for name in found[0][0].split(",")] if found else None


def _history(connection: psycopg.Connection) -> list[str] | None:
    is_there = "select to_regclass('supabase_migrations.schema_migrations') is not null"
    if _rows(connection, is_there) == [(False,)]:
        return None
    return [row[0] for row in _rows(connection, HISTORY)]
