"""The schema under another name: the same catalog, and what a removal takes back and leaves."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from local import database
from shared.install.database import look_at
from shared.install.migrations import migrations_for
from shared.install.names import RESERVED, Names
from shared.install.removal_sql import removal_texts
from tests.support.catalog import describe, difference
from tests.support.postgres import Server

CHAT = Names("chat")
BODIES = [migration.body for migration in migrations_for(CHAT, database.MIGRATIONS)]
SCHEMAS = ("chat", "chat_private", "chat_search")
RENAME = "; ".join(f"alter schema {name} rename to {other}" for name, other in CHAT.schemas.items())
SINCE = {"system_user": 16}  # words that Postgres reserves from a version on

# Of the project's own, in schemas that ours come into, under names that ours have in others.
# The extensions too: a removal leaves them, since others may use them by then.
THEIRS = """
create extension pg_trgm with schema extensions;
create extension btree_gin with schema extensions;
create table public.messages (id int primary key, body text);
insert into public.messages select n, 'row ' || n from generate_series(1, 100) n;
create policy select_own on public.messages using (true);
create function public.ping() returns int language sql as 'select 1';
create policy listen_to_own_conversation on realtime.messages for select to anon using (false);
create schema chat_private;
comment on schema chat_private is 'Theirs.';
create table chat_private.notes (id int);
create function chat_private.count_notes() returns bigint language sql
    as 'select count(*) from chat_private.notes';
"""
SUM = "select md5(string_agg(m::text, ',' order by id)) from public.messages as m"


def apply(connection: psycopg.Connection, texts: list[str]) -> None:
    """Apply migrations as their owner, each in a transaction, as a push does."""
    for text in texts:
        with connection.transaction():
            connection.execute(database.BECOME_OWNER)
            connection.execute(text.encode())
            connection.execute(database.BECOME_ADMIN)


@pytest.fixture
def project(bare_server: Server) -> Iterator[psycopg.Connection]:
    """A database of a project with things of its own."""
    with bare_server.database() as url:
        database.shape(url)
        with psycopg.connect(url, autocommit=True) as connection:
            apply(connection, [THEIRS])
            yield connection


@pytest.mark.promise("installing")
def test_under_another_name_the_catalog_is_the_same(
    scratch: psycopg.Connection, shaped_url: str
) -> None:
    """As if the schemas had been renamed: Postgres knows by itself what refers to them."""
    with psycopg.connect(shaped_url, autocommit=True) as connection:
        apply(connection, BODIES)
        installed = describe(connection, SCHEMAS)
    scratch.execute(RENAME.encode())
    renamed = describe(scratch, SCHEMAS)
    assert difference(_expected(renamed), _comparable(installed)) == ""


def _expected(renamed: str) -> str:
    """Return a renamed catalog with what Postgres can't know: names in bodies, shared names."""
    for name, other in CHAT.schemas.items():
        renamed = re.sub(rf"(?<![\w.]){name}\.(?=[a-z])", f"{other}.", renamed)
    renamed = re.sub(r"\blisten_to_own_conversation", "chat_listen_to_own_conversation", renamed)
    for job in re.findall(r"'([\w-]+)', '[^']*', 'call ", renamed):
        renamed = re.sub(rf"\b{job}\b", f"chat-{job}", renamed)
    return _comparable(renamed)


def _comparable(catalog: str) -> str:
    """Leave out the line of the schema itself, which is a project's own, and what order it made."""
    schema = re.compile(r"pg_(namespace|description) chat ")
    return "\n".join(sorted(line for line in catalog.split("\n") if not schema.match(line)))


@pytest.mark.promise("installing", red="a schema that was there commented on")
def test_the_projects_own_stays_as_it_is(project: psycopg.Connection) -> None:
    """Tables, policies, functions, rows and the comment on its schema, before and after."""
    before = describe(project), project.execute(SUM.encode()).fetchone()
    apply(project, BODIES)
    comment = "select obj_description('chat_private'::regnamespace, 'pg_namespace')"
    assert project.execute(comment.encode()).fetchone() == ("Theirs.",)
    both = sorted(project.execute("select polname from pg_policy").fetchall())
    assert ("chat_listen_to_own_conversation",) in both
    apply(project, removal_texts(BODIES, schema="chat", with_data=True))
    assert difference(*(before[0], describe(project))) == ""
    assert project.execute(SUM.encode()).fetchone() == before[1]


def test_a_removal_with_its_data_leaves_nothing_but_what_is_not_ours(
    project: psycopg.Connection,
) -> None:
    """Neither a table nor a function nor a schema; theirs in one of them keeps that one."""
    before = describe(project, SCHEMAS)
    apply(project, BODIES)
    apply(project, removal_texts(BODIES, schema="chat", with_data=True))
    # The roles may use their schema from then on: whether they might before, nobody knows.
    owner = 'chat_private nspacl: ["'
    granted = f'{owner}authenticated=U/postgres", "'
    expected = before.replace(owner, granted).replace(
        '=UC/postgres"]', '=UC/postgres", "service_role=U/postgres"]'
    )
    assert difference(expected, describe(project, SCHEMAS)) == ""


def test_a_removal_keeps_the_rows_for_their_owner_to_read(project: psycopg.Connection) -> None:
    """Of tables and indexes nothing changes; functions go, and nobody writes; then a second one."""
    apply(project, BODIES)
    user = "5eed0000-0000-4000-8000-000000000001"
    project.execute("insert into auth.users (id) values (%s)", (user,))
    project.execute("insert into chat.conversations (user_id, title) values (%s, 'Kept')", (user,))
    apply(project, removal_texts(BODIES, schema="chat", with_data=False))
    left = left_functions(project) - {"chat_private.count_notes"}
    assert {"chat_search.long_words"} <= left <= needed_functions(project)
    read = "select title from chat.conversations"
    assert as_user(project, user, read) == [("Kept",)]
    assert as_user(project, "5eed0000-0000-4000-8000-000000000002", read) == []
    for refused in (
        "insert into chat.conversations (title) values ('New')",
        "update chat.conversations set title = 'Other'",
        "delete from chat.conversations",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_user(project, user, f"{refused} returning id")
    apply(project, removal_texts(BODIES, schema="chat", with_data=True))
    assert project.execute("select to_regnamespace('chat')").fetchone() == (None,)


def left_functions(connection: psycopg.Connection) -> set[str]:
    """Return the functions in our schemas."""
    found = connection.execute(
        "select format('%s.%s', pronamespace::regnamespace, proname) from pg_proc"
        " where pronamespace::regnamespace::text like 'chat%'"
    )
    return {name for (name,) in found}


def needed_functions(connection: psycopg.Connection) -> set[str]:
    """Return those that an index, a policy or a check stands on."""
    found = connection.execute(
        "select format('%s.%s', pronamespace::regnamespace, proname) from pg_proc as p"
        " where exists (select 1 from pg_depend where refclassid = 'pg_proc'::regclass"
        " and refobjid = p.oid and deptype = 'n')"
    )
    return {name for (name,) in found}


def as_user(connection: psycopg.Connection, user: str, query: str) -> list[tuple[object, ...]]:
    with connection.transaction():
        connection.execute("select set_config('request.jwt.claim.sub', %s, true)", (user,))
        connection.execute("set local role authenticated")
        return connection.execute(query.encode()).fetchall()


def test_a_removal_needs_no_right_to_a_policy_that_was_never_made(
    project: psycopg.Connection,
) -> None:
    """On a project whose owner may not make one; with it, the same removal has to."""
    apply(project, BODIES)
    (policy, _) = removal_texts(BODIES, schema="chat", with_data=True)
    with project.transaction(force_rollback=True):
        project.execute("drop policy chat_listen_to_own_conversation on realtime.messages")
        project.execute("set local role postgres")
        project.execute(policy.encode())
    with project.transaction(force_rollback=True):
        project.execute("set local role postgres")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            project.execute(policy.encode())


def test_what_a_project_has_made_of_ours_is_not_taken_with_it(project: psycopg.Connection) -> None:
    """A view on a table of ours: the removal with data fails as a whole."""
    apply(project, BODIES)
    project.execute("create view public.titles as select title from chat.conversations")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        apply(project, removal_texts(BODIES, schema="chat", with_data=True))
    assert project.execute("select count(*) from public.titles").fetchone() == (0,)


def test_a_look_sees_what_an_install_has_to_know(project: psycopg.Connection) -> None:
    """And writes nothing."""
    url = f"postgresql://admin:postgres@127.0.0.1:{project.info.port}/{project.info.dbname}"
    project.execute(f"alter database {project.info.dbname} set pgrst.db_schemas = 'public, chat'")
    seen = look_at(url, ["public", "chat_private"])
    major = project.info.server_version // 10_000
    assert (seen.version, seen.user, seen.missing) == (major, "admin", [])
    assert {"public.messages", "chat_private.notes"} <= seen.relations
    assert seen.routines == {"public.ping", "chat_private.count_notes"}
    assert seen.policies == {"listen_to_own_conversation"}
    assert (seen.exposed, seen.history, seen.jobs) == (["public", "chat"], None, None)
    project.execute(database.HISTORY.encode())
    assert look_at(url, []).history == []


def test_the_reserved_words_are_those_of_postgres(project: psycopg.Connection) -> None:
    """Which have to be quoted as a schema's name; one that only newer versions have is left out."""
    words = project.execute("select word from pg_get_keywords() where catcode in ('R', 'T')")
    newer = {word for word, major in SINCE.items() if project.info.server_version < major * 10_000}
    assert {word for (word,) in words} == RESERVED - newer
