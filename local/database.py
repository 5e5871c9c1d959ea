"""Brings a database up to date: the Supabase shape, then the project's migrations, then the seed.

Migrations are recorded where the Supabase CLI records them, so both can be used on one database.
"""

import hashlib
from pathlib import Path

import psycopg

from local.errors import LocalStackError
from local.settings import ROOT

MIGRATIONS = ROOT / "supabase" / "migrations"
SEED = ROOT / "supabase" / "seed.sql"
SHAPE = (ROOT / "local" / "bootstrap.sql", ROOT / "local" / "realtime.sql")

HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text not null primary key,
    statements text[],
    name text
);
create table if not exists supabase_migrations.seed_files (
    path text not null primary key,
    hash text not null
);
"""


def shape(db_url: str) -> None:
    """Give a server the roles and schemas that a Supabase project has."""
    with psycopg.connect(db_url) as connection:
        for script in SHAPE:
            connection.execute(script.read_bytes())


def migrate(db_url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply the migrations that are not recorded yet, each in a transaction of its own.

    Returns the names that were applied, in order; raises LocalStackError at the first that fails.
    """
    applied = []
    with psycopg.connect(db_url, autocommit=True) as connection:
        connection.execute(HISTORY.encode())
        known = {
            row[0]
            for row in connection.execute(
                "select version from supabase_migrations.schema_migrations"
            )
        }
        for script in sorted(folder.glob("*.sql")):
            version, _, name = script.stem.partition("_")
            if version not in known:
                _apply(connection, script, version, name)
                applied.append(script.name)
    return applied


def seed(db_url: str) -> bool:
    """Insert the example data once; return whether it was inserted now."""
    with psycopg.connect(db_url) as connection:
        recorded = connection.execute(
            "insert into supabase_migrations.seed_files (path, hash) values (%s, %s)"
            " on conflict do nothing",
            (str(SEED.relative_to(ROOT)), hashlib.sha256(SEED.read_bytes()).hexdigest()),
        )
        if not recorded.rowcount:
            return False
        connection.execute(SEED.read_bytes())
    return True


# As on hosted projects, where supautils lets postgres make policies on tables that aren't its own.
BECOME_OWNER = "grant supabase_realtime_admin to postgres; set local role postgres"
BECOME_ADMIN = "reset role; revoke supabase_realtime_admin from postgres"


def _apply(connection: psycopg.Connection, script: Path, version: str, name: str) -> None:
    text = script.read_text()
    try:
        with connection.transaction():
            connection.execute(BECOME_OWNER)
            connection.execute(text.encode())
            connection.execute(BECOME_ADMIN)
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements)"
                " values (%s, %s, %s)",
                (version, name, [text]),
            )
    except psycopg.Error as exc:
        raise LocalStackError(
            f"Migration {script.name} failed: {exc.diag.message_primary}"
        ) from exc
