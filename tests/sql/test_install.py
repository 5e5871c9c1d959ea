"""What a platform has, lacks or refuses stops no install, and the doctor's question finds it."""

import psycopg
import pytest

from local import database
from tests.support.catalog import describe, difference
from tests.support.postgres import Server
from tests.support.sql_calls import Caller, act_as, make_account

# An extension that this Postgres doesn't have, as far as ours look at it.
PG_CRON = """
    set local allow_system_table_mods = on;
    insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    values (70000, 'pg_cron', 10, 'pg_catalog'::regnamespace, false, '1.6');
    create schema cron;
    create table cron.job (jobname text primary key, schedule text, command text);
    create function cron.schedule(job_name text, schedule text, command text) returns bigint
    language sql as $$
        insert into cron.job values (job_name, schedule, command)
        on conflict (jobname) do update
        set schedule = excluded.schedule, command = excluded.command
        returning 1::bigint
    $$;
    grant usage on schema cron to postgres;
    grant all on cron.job to postgres;
"""


@pytest.mark.promise("migrations", red="`extensions.gin_trgm_ops`")
@pytest.mark.parametrize("schema", ["public", "extensions", "theirs"])
def test_an_extension_may_stand_in_any_schema(shaped_url: str, schema: str) -> None:
    """Where a project had it before; a search then finds what it finds anywhere."""
    with psycopg.connect(shaped_url, autocommit=True) as db:
        db.execute(f"create schema if not exists {schema}".encode())
        for name in ("pg_trgm", "btree_gin"):
            db.execute(f"create extension {name} schema {schema}".encode())
        db.execute(f"grant usage on schema {schema} to postgres, authenticated".encode())
        database.migrate(shaped_url)
        user_id = make_account(db)
        Caller(db).begin(user_id, "Catch the butterfly")
        act_as(db, user_id)
        db.execute("set role authenticated")
        hits = [
            len(Caller(db, user_id).call("search_messages", q=q)["hits"])
            for q in ("butterfly", "utterfl", "moth")
        ]
    assert hits == [1, 1, 0]


@pytest.mark.promise("migrations", red="the policy in the baseline")
def test_a_platform_that_refuses_the_policy_gets_all_the_rest(
    shaped_url: str, catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found missing, with the statement that makes it."""
    monkeypatch.setattr(database, "BECOME_OWNER", "set local role postgres")
    applied = database.migrate(shaped_url)
    with psycopg.connect(shaped_url, autocommit=True) as db:
        service = Caller(db)
        lacking = difference(catalog, describe(db))
        (missing,) = service.call("check_platform")["missing"]
        db.execute(missing["remedy"].encode())
        after = service.call("check_platform")
        whole = difference(catalog, describe(db))
    assert len(applied) == len(list(database.MIGRATIONS.glob("*.sql")))
    assert "listen_to_own_conversation" in lacking
    assert missing["name"] == "listen_policy"
    assert after == {"missing": []}
    assert whole == ""


def test_jobs_are_scheduled_once_pg_cron_is_there(scratch: psycopg.Connection) -> None:
    """However often it is asked for; until then they are missing, and without it nothing is."""
    service = Caller(scratch)
    before = service.call("check_platform")
    nothing = scratch.execute("select private.schedule_jobs()").fetchone()
    scratch.execute(PG_CRON)
    (missing,) = service.call("check_platform")["missing"]
    for _ in range(2):
        scratch.execute(missing["remedy"].encode())
    jobs = scratch.execute("select jobname, command from cron.job order by 1").fetchall()
    after = service.call("check_platform")
    assert (before, nothing) == ({"missing": []}, ([],))
    assert missing["name"] == "scheduled_jobs"
    assert jobs == [
        ("apply-retention", "call private.sweep('apply-retention', 100)"),
        ("sweep-removals", "call private.sweep('sweep-removals', 50)"),
        ("sweep-search-index", "call private.sweep('sweep-search-index', 30)"),
        ("sweep-turns", "call private.sweep('sweep-turns', 30)"),
    ]
    assert after == {"missing": []}


@pytest.mark.promise("migrations", red="jobs scheduled by the migration itself")
def test_a_pg_cron_that_refuses_stops_no_install(shaped_url: str) -> None:
    """Its jobs are found missing."""
    with psycopg.connect(shaped_url, autocommit=True) as db:
        with db.transaction():
            db.execute(PG_CRON)
            db.execute("revoke all on schema cron from postgres")
        database.migrate(shaped_url)
        missing = Caller(db).call("check_platform")["missing"]
        jobs = db.execute("select count(*) from cron.job").fetchone()
    assert [part["name"] for part in missing] == ["scheduled_jobs"]
    assert jobs == (0,)


def test_a_schema_that_is_there_with_pg_cron_has_its_jobs(bare_server: Server) -> None:
    """What each job calls is there."""
    with bare_server.database() as url:
        database.shape(url)
        database.migrate(url)
        with psycopg.connect(url, autocommit=True) as db:
            commands = db.execute("select command from private.jobs()").fetchall()
            for (command,) in commands:
                db.execute(command.encode())
    assert len(commands) == 4
