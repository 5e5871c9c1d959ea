"""Everything starts with the user: keys, functions and statements, those to come included."""

import psycopg
import pytest

from tests.support.user_gate import (
    UNKNOWN,
    functions_for_anybody,
    functions_without_the_user,
    keys_without_the_user,
    locks_without_a_timeout,
    statements_without_the_user,
)

KEYS = {
    "search.documents_pkey",  # one that begins with the user would be read instead of the search's
}
MOMENT = "timestamp with time zone"
DUE = f"list_users_due_for_retention(uuid,integer,{MOMENT},uuid)"
ACTION = f"private.retention_action(private.conversations,{MOMENT})"
# The doctor reads over all users, and looks a row that may stand under a wrong one up by its id.
CHECKS = {
    "private.find_broken_conversations(uuid[])": {"conversations"},
    "private.find_broken_messages(uuid[])": {"conversations", "messages", "turns"},
    f"private.find_broken_turns(uuid[],{MOMENT})": {"conversations", "turns"},
    "private.find_left_behind(uuid[])": {"documents", "import_parts", "summaries"},
    f"private.list_newest({MOMENT},{MOMENT})": {"messages", "turns"},
}
CHECK = f"check_invariants(integer,{MOMENT},jsonb)"
# Read over all users, or what is nobody's; one call a user writes then.
LISTINGS = {
    "list_expired_turns(integer)",
    "list_removals(integer)",
    DUE,
    "list_users_to_index(integer)",
    "project_usage(timestamp with time zone,timestamp with time zone,uuid,integer,jsonb)",
}
FUNCTIONS = (
    LISTINGS
    | {*CHECKS}
    | {
        "extend_turns(jsonb,integer)",  # the one call of a process: each item names its user
        "delete_retention_policy(uuid)",  # a policy may be a project's, or everybody's
        ACTION,  # its row names the user
        "private.retention_bound(timestamp with time zone,boolean)",  # of all policies
        CHECK,  # calls each of the checks above
    }
)
STATEMENTS = {
    "extend_turns(jsonb,integer): public.turns",  # counts those that run in the project
    "list_expired_turns(integer): public.turns",
    "list_removals(integer): public.conversations",
    "list_removals(integer): public.erasure_receipts",
    "list_removals(integer): public.import_parts",
    f"{DUE}: public.conversations",
    "list_users_to_index(integer): public.watermarks",
    "project_usage(timestamp with time zone,timestamp with time zone,uuid,integer,jsonb):"
    " public.conversations",
    # The operator's: of one user, or of all.
    "list_legal_holds(uuid,uuid,boolean): public.legal_holds",
    "list_retention_policies(uuid,uuid): public.retention_policies",
    "delete_retention_policy(uuid): public.retention_policies",
    f"{ACTION}: public.retention_policies",
    "private.retention_bound(timestamp with time zone,boolean): public.retention_policies",
    *(f"{name}: public.{table}" for name, tables in CHECKS.items() for table in tables),
    f"{CHECK}: {UNKNOWN}",
    # A row that stands under a wrong user is found by its conversation, and takes others along.
    "private.give_to_owner(uuid,uuid): public.documents",
    "private.give_to_owner(uuid,uuid): public.summaries",
    "private.give_to_owner(uuid,uuid): public.messages",
    "private.give_to_owner(uuid,uuid): public.turns",
    "private.recover_conversation(uuid,uuid): public.conversations",
    "private.recover_conversation(uuid,uuid): public.messages",
    "private.recover_conversation(uuid,uuid): public.turns",
}

KEYS_PLANTED = [
    "create unique index planted on public.turns (conversation_id, started_at)",
    "create unique index planted on public.turns (lower(user_id::text))",
    "create unique index planted on public.turns (id) include (user_id) where attempt > 1",
    "create table public.names (name text constraint planted primary key, user_id uuid)",
    "alter table public.turns add constraint planted exclude using btree (id with =)",
    "alter table private.turn_usage add column turn_id uuid,"
    " add constraint planted foreign key (turn_id) references public.turns (id)",
    "alter table public.turns add constraint planted foreign key (conversation_id, user_id)"
    " references public.conversations (id, user_id)",
    "alter table public.turns add constraint planted foreign key (user_id, conversation_id)"
    " references public.conversations (id, user_id)",
]
# A query for which a function must take the user first, and its parameters.
FUNCTIONS_PLANTED = ["turn_id uuid, user_id uuid", "out user_id uuid, turn_id uuid", "user_id text"]
# What a statement in a body must not be, and the table that it does not name the user of.
STATEMENTS_PLANTED = [
    ("perform 1 from public.turns as t where t.status = 'running'", "public.turns"),
    (
        "perform 1 from public.turns as t join public.messages as m on m.turn_id = t.id"
        " where t.user_id = planted.user_id",
        "public.messages",
    ),
    (
        "perform 1 from public.turns as t"
        " left join public.messages as m on m.user_id = t.user_id and t.user_id = planted.user_id",
        "public.turns, public.messages",
    ),
    (
        "delete from public.turns as t where t.user_id = planted.user_id or t.id = planted.turn_id",
        "public.turns",
    ),
    ("perform 1 from public.turns as t where t.user_id = t.user_id", "public.turns"),
    ("perform 1 from public.turns as t where t.user_id = user_id", "public.turns"),
    ("perform 1 from public.turns as t where t.user_id = planted.turn_id", "public.turns"),
    (
        "perform 1 from public.turns as t where t.user_id = coalesce(planted.user_id, t.user_id)",
        "public.turns",
    ),
    ("perform 1 from public.turns as t where t.user_id <> planted.user_id", "public.turns"),
    ("perform 1 from public.turns as t where t.user_id = any (v_ids)", "public.turns"),
    (
        "perform 1 from public.turns as t, public.messages as m where m.user_id = t.user_id",
        "public.messages, public.turns",
    ),
    (
        "perform 1 from auth.users as u join public.turns as t on t.user_id = u.id",
        "auth.users, public.turns",
    ),
    (
        "with old as (delete from private.turn_usage returning id) select count(*) into v_id"
        " from old",
        "public.turn_usage",
    ),
    (
        "perform 1 from public.turns as t where t.user_id = planted.user_id"
        " and exists (select 1 from public.messages as m where m.turn_id = t.id)",
        "public.messages",
    ),
    (
        "perform 1 from public.turns as t cross join lateral"
        " (select 1 from public.messages as m where m.turn_id = t.id) as m"
        " where t.user_id = planted.user_id",
        "public.messages",
    ),
    (
        "update public.turns as t set status = 'running' from public.messages as m"
        " where t.user_id = planted.user_id and m.turn_id = t.id",
        "public.messages",
    ),
    (
        "delete from public.turns as t using public.messages as m"
        " where m.user_id = planted.user_id and m.turn_id = t.id",
        "public.turns",
    ),
    (
        "merge into public.turns as t using public.messages as m on m.turn_id = t.id"
        " when matched then delete",
        "public.turns, public.messages",
    ),
    ("insert into public.conversations (title) values ('Planted')", "public.conversations"),
    (
        "insert into public.conversations (user_id, title)"
        " select c.user_id, c.title from public.conversations as c on conflict do nothing",
        "public.conversations",
    ),
    ("truncate public.turns", "public.turns"),
    ("lock table public.turns", "public.turns"),
    ("v_id = (select t.id from public.turns as t)", "public.turns"),
    ("for v_id in select t.id from public.turns as t loop end loop", "public.turns"),
    ("execute 'delete from public.turns'", "public.turns"),
    ("execute format('delete from public.%I', 'turns')", UNKNOWN),
    ("for v_id in execute 'select id from ' || 'public.turns' loop end loop", UNKNOWN),
    ('perform 1 from "private"."turn_usage"', "public.turn_usage"),
    ("PERFORM 1 FROM PRIVATE . /* of whom */ TURN_USAGE", "public.turn_usage"),
    ("perform 1 from turns", "turns"),
    ("perform 1 from private.conversations as c", "public.conversations"),
    ("perform 1 from private.planted_view as p", "public.planted_view"),
]
# What one may well write.
STATEMENTS_ALLOWED = [
    "perform 1 from public.turns where user_id = planted.user_id",
    "perform 1 from public.turns as t join public.messages as m using (user_id)"
    " where t.user_id = planted.user_id",
    "perform 1 from public.turns as t join public.messages as m"
    " on (m.user_id, m.turn_id) = (t.user_id, t.id) where t.user_id = planted.user_id",
    "with turns as (select 1 as id) select t.id into v_id from turns as t",
    "perform 1 from public.turns as t where t.user_id = any (array[planted.user_id])",
    "merge into public.turns as t using (select planted.user_id, planted.turn_id) as s"
    " on t.user_id = s.user_id and t.id = s.turn_id when matched then delete",
    "execute 'select 1 from public.turns as t where t.user_id = $1.user_id' using planted",
]
BODY = """
    create function public.planted(user_id uuid, turn_id uuid) returns void language plpgsql
    as $$declare v_id uuid; v_ids uuid[]; begin {}; end$$
"""


def test_every_key_begins_with_the_user(scratch: psycopg.Connection) -> None:
    """Foreign and unique ones; a primary key may be the id alone."""
    assert keys_without_the_user(scratch) == KEYS


def test_every_function_takes_the_user_first(scratch: psycopg.Connection) -> None:
    """If it touches a row of theirs."""
    assert functions_without_the_user(scratch) == FUNCTIONS


def test_every_statement_names_the_user(scratch: psycopg.Connection) -> None:
    """Of each table that it reads or writes, by a condition that must hold."""
    assert statements_without_the_user(scratch) == STATEMENTS


def test_every_function_that_waits_for_a_row_stops_waiting(scratch: psycopg.Connection) -> None:
    """After its lock_timeout, long before its caller has gone."""
    assert locks_without_a_timeout(scratch) == set()


def test_every_function_for_users_asks_who_calls(scratch: psycopg.Connection) -> None:
    """By private.require_self, with the user that it takes."""
    assert functions_for_anybody(scratch) == set()


@pytest.mark.parametrize("planted", KEYS_PLANTED)
def test_negative_control_a_key(scratch: psycopg.Connection, planted: str) -> None:
    """That begins with another column is found."""
    scratch.execute(planted.encode())
    assert keys_without_the_user(scratch) - KEYS == {"planted"}


@pytest.mark.parametrize("parameters", FUNCTIONS_PLANTED)
@pytest.mark.parametrize(
    "body", ["as 'select t.id from public.turns as t'", "return (select id from public.turns)"]
)
def test_negative_control_a_function(
    scratch: psycopg.Connection, parameters: str, body: str
) -> None:
    """That takes another first, or another's, is found, however its body is written."""
    scratch.execute(
        f"create function public.planted({parameters}) returns uuid language sql {body}".encode()
    )
    found = functions_without_the_user(scratch) - FUNCTIONS
    assert {name.partition("(")[0] for name in found} == {"planted"}


@pytest.mark.parametrize(("planted", "tables"), STATEMENTS_PLANTED)
def test_negative_control_a_statement(
    scratch: psycopg.Connection, planted: str, tables: str
) -> None:
    """That reads or writes rows of whoever is found, with the table."""
    scratch.execute("create view private.planted_view as select id from public.turns")
    scratch.execute(BODY.format(planted).encode())
    found = statements_without_the_user(scratch) - STATEMENTS
    assert found == {f"planted(uuid,uuid): {table}" for table in tables.split(", ")}


@pytest.mark.parametrize("written", STATEMENTS_ALLOWED)
def test_a_statement_that_names_the_user_is_not_found(
    scratch: psycopg.Connection, written: str
) -> None:
    """However that is written."""
    scratch.execute(BODY.format(written).encode())
    assert statements_without_the_user(scratch) == STATEMENTS


@pytest.mark.parametrize(
    ("planted", "finding"),
    [
        (
            "create policy planted on public.turns using"
            " (exists (select 1 from public.messages as m where m.turn_id = turns.id))",
            "planted on turns: messages",
        ),
        (
            "create function private.planted() returns trigger language plpgsql as"
            " $$begin delete from public.turns as t where t.id = old.id; return null; end$$",
            "private.planted(): public.turns",
        ),
    ],
)
def test_negative_control_what_runs_by_itself(
    scratch: psycopg.Connection, planted: str, finding: str
) -> None:
    """A policy and a trigger name the user too."""
    scratch.execute(planted.encode())
    assert statements_without_the_user(scratch) - STATEMENTS == {finding}


@pytest.mark.parametrize("call", ["select 1", "select private.require_self(planted.turn_id)"])
def test_negative_control_a_function_for_users(scratch: psycopg.Connection, call: str) -> None:
    """That does not ask who calls, or asks about another, is found."""
    scratch.execute(
        "create function public.planted(user_id uuid, turn_id uuid) returns void language sql"
        f" begin atomic {call}; select 1; end;"
        " grant execute on function public.planted to authenticated".encode()
    )
    assert functions_for_anybody(scratch) == {"planted(uuid,uuid)"}


@pytest.mark.parametrize(
    "lock",
    [
        "perform 1 from public.turns as t where t.user_id = planted.user_id for update",
        "insert into public.conversations (user_id) values (planted.user_id)"
        " on conflict (id) do update set title = 'Planted'",
        "lock table public.turns",
    ],
)
def test_negative_control_a_lock(scratch: psycopg.Connection, lock: str) -> None:
    """That is waited for without end is found."""
    scratch.execute(BODY.format(lock).encode())
    assert locks_without_a_timeout(scratch) == {"planted(uuid,uuid)"}
