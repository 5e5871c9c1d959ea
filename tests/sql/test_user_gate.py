"""Everything starts with the user: keys, functions and statements, those to come included."""

import psycopg
import pytest

from tests.support.user_gate import (
    functions_without_the_user,
    keys_without_the_user,
    locks_without_a_timeout,
    statements_without_the_user,
)

pytest_plugins = ["tests.support.scratch"]

KEYS = {
    "search.documents_pkey",  # one that begins with the user would be read instead of the search's
}
MOMENT = "timestamp with time zone"
DUE = f"list_users_due_for_retention(uuid,integer,{MOMENT},uuid)"
ACTION = f"private.retention_action(private.conversations,{MOMENT})"
# The doctor reads over all users, and looks a row that may stand under a wrong one up by its id.
CHECKS = {
    "private.find_broken_conversations(uuid[])": {"conversations"},
    "private.find_broken_places(uuid[])": {"messages"},
    "private.find_broken_messages(uuid[])": {"conversations", "messages", "turns"},
    f"private.find_broken_turns(uuid[],{MOMENT})": {"conversations", "turns"},
    "private.find_left_behind(uuid[])": {"documents", "import_parts", "summaries"},
    f"private.list_newest({MOMENT},{MOMENT})": {"messages", "turns"},
}
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
    # A row that stands under a wrong user is found by its conversation.
    "private.give_to_owner(uuid,uuid): public.messages",
    "private.give_to_owner(uuid,uuid): public.turns",
    "private.recover_conversation(uuid,uuid): public.conversations",
    "private.recover_conversation(uuid,uuid): public.messages",
    "private.recover_conversation(uuid,uuid): public.turns",
}

# Each breaks the schema in one way: what is planted, which check must see it, what it then says.
PLANTED = {
    "a unique key": (
        "create unique index planted on public.turns (conversation_id, started_at)",
        keys_without_the_user,
        "planted",
    ),
    "a foreign key": (
        "alter table private.turn_usage add column turn_id uuid,"
        " add constraint planted foreign key (turn_id) references public.turns (id)",
        keys_without_the_user,
        "planted",
    ),
    "a primary key": (
        "create table public.planted (name text constraint planted_pkey primary key, user_id uuid)",
        keys_without_the_user,
        "planted_pkey",
    ),
    "a function": (
        "create function public.planted(turn_id uuid, user_id uuid) returns bigint language sql as"
        " $$select t.attempt from public.turns as t where t.user_id = planted.user_id$$",
        functions_without_the_user,
        "planted(uuid,uuid)",
    ),
    "a statement": (
        "create function public.planted(user_id uuid) returns bigint language plpgsql as"
        " $$begin return (select count(*) from public.turns as t where t.status = 'running');"
        " end$$",
        statements_without_the_user,
        "planted(uuid): public.turns",
    ),
    "a join": (
        "create function public.planted(user_id uuid) returns bigint language sql as"
        " $$select count(*) from public.turns as t join public.messages as m on m.turn_id = t.id"
        " where t.user_id = planted.user_id$$",
        statements_without_the_user,
        "planted(uuid): public.messages",
    ),
    "a condition that need not hold": (
        "create function public.planted(user_id uuid, turn_id uuid) returns void"
        " language plpgsql as $$begin delete from public.turns as t"
        " where t.user_id = planted.user_id or t.id = planted.turn_id; end$$",
        statements_without_the_user,
        "planted(uuid,uuid): public.turns",
    ),
    "a part of a statement": (
        "create function public.planted(user_id uuid) returns void language plpgsql as"
        " $$declare v_count bigint; begin with old as (delete from private.turn_usage returning id)"
        " select count(*) into v_count from old; end$$",
        statements_without_the_user,
        "planted(uuid): public.turn_usage",
    ),
    "an insert": (
        "create function public.planted(user_id uuid) returns void language sql as"
        " $$insert into public.conversations (title) values ('Planted')$$",
        statements_without_the_user,
        "planted(uuid): public.conversations",
    ),
    "a lock": (
        "create function public.planted(user_id uuid) returns void language plpgsql as"
        " $$begin perform 1 from public.turns as t where t.user_id = planted.user_id for update;"
        " end$$",
        locks_without_a_timeout,
        "planted(uuid)",
    ),
}


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


@pytest.mark.parametrize("what", PLANTED)
def test_negative_control_the_gate_sees(scratch: psycopg.Connection, what: str) -> None:
    """What is planted without the user is found, and was not there before."""
    sql, check, finding = PLANTED[what]
    before = check(scratch)
    scratch.execute(sql.encode())
    assert check(scratch) - before == {finding}
