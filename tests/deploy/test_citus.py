"""The file that distributes the schema: it parses, runs, covers all, and turns go on after it.

There is no Citus here. Stand-ins of its functions note what they are asked for; all else that the
file does to keys, policies and functions is done on a real Postgres.
"""

import re
from collections.abc import Iterator
from typing import Any

import pglast
import psycopg
import pytest
from pglast import ast
from psycopg.types.json import Jsonb

from local.settings import ROOT
from tests.support import user_gate
from tests.support.postgres import Server
from tests.support.sql_calls import Caller, act_as, assert_whole, make_account

DISTRIBUTE = ROOT / "deploy" / "citus" / "distribute.sql"
STAND_INS = """
create schema citus_stand_ins;
create table citus_stand_ins.asked (what text, of text, with_what text);
create function citus_stand_ins.create_reference_table(table_name regclass) returns void
language sql as $$insert into citus_stand_ins.asked values ('reference', table_name::text)$$;
create function citus_stand_ins.create_distributed_table(
    table_name regclass, distribution_column text, colocate_with text
) returns void language sql as $$
    insert into citus_stand_ins.asked values ('table', table_name::text, colocate_with)
$$;
create function citus_stand_ins.create_distributed_function(
    function_name regprocedure, distribution_arg_name text, colocate_with text
) returns void language sql as $$
    insert into citus_stand_ins.asked values ('function', function_name::text, colocate_with)
$$;
create function citus_stand_ins.run_command_on_placements(table_name regclass, command text)
returns void language sql as $$
    insert into citus_stand_ins.asked values ('placements', table_name::text, command)
$$;
"""
OURS = "any ('{public,private,search}'::regnamespace[])"


@pytest.fixture(scope="module")
def distributed(bare_server: Server) -> Iterator[psycopg.Connection]:
    """A database on which the file was run, with stand-ins for Citus."""
    with (
        bare_server.database("migrated") as url,
        psycopg.connect(url, autocommit=True) as db,
    ):
        db.execute(STAND_INS)
        db.execute("set search_path = public, citus_stand_ins")
        db.execute(DISTRIBUTE.read_bytes())
        db.execute("reset search_path")
        yield db


def test_it_parses() -> None:
    """By the grammar of Postgres itself, the bodies too."""
    assert len(pglast.parse_sql(DISTRIBUTE.read_text())) > 10


def test_every_table_is_distributed_or_on_every_node(distributed: psycopg.Connection) -> None:
    """Each in the group of conversations, after those that it refers to."""
    tables = {
        row[0]: row[1]
        for row in distributed.execute(
            "select c.oid::regclass::text, exists (select from pg_attribute as a"
            " where a.attrelid = c.oid and a.attname = 'user_id' and a.attnotnull)"
            f" from pg_class as c where c.relkind = 'r' and c.relnamespace = {OURS}"
        )
    }
    of_users = asked(distributed, "table")
    assert {name for name, is_of_users in tables.items() if is_of_users} == set(of_users)
    everywhere = {name for name, is_of_users in tables.items() if not is_of_users}
    assert everywhere | {"auth.users"} == set(asked(distributed, "reference"))
    assert of_users.pop("conversations") == "none"
    assert set(of_users.values()) == {"public.conversations"}


def test_every_function_about_a_user_is_called_where_the_user_is(
    distributed: psycopg.Connection,
) -> None:
    """All that the bundle and clients call."""
    functions = {
        row[0]
        for row in distributed.execute(
            "select oid::regprocedure::text from pg_proc"
            " where pronamespace = 'public'::regnamespace and proargnames[1] = 'user_id'"
        )
    }
    assert functions == set(asked(distributed, "function"))
    assert len(functions) > 20


def test_nothing_is_left_that_citus_refuses(distributed: psycopg.Connection) -> None:
    """Keys without the user, subqueries in policies, SQL that reads tables, volatile updates."""
    keys = distributed.execute(
        "select k.conname from pg_constraint as k where k.contype in ('p', 'u')"
        " and k.conrelid::regclass::text in (select of from citus_stand_ins.asked"
        " where what = 'table') and pg_get_constraintdef(k.oid) !~ 'user_id'"
    ).fetchall()
    policies = distributed.execute(
        "select policyname from pg_policies where schemaname in ('public', 'private', 'search')"
        " and concat(qual, with_check) ~ 'SELECT'"
    ).fetchall()
    functions = distributed.execute(
        "select p.oid::regprocedure::text, l.lanname, p.prosrc from pg_proc as p"
        " join pg_language as l on l.oid = p.prolang where p.proname <> 'clock' and p.pronargs > 0"
        f" and p.provolatile <> 'i' and p.prokind = 'f' and p.pronamespace = {OURS}"
    ).fetchall()
    assert (keys, policies) == ([], [])
    assert [name for name, language, _ in functions if language == "sql"] == []
    assert [name for name, _, body in functions if re.search(r"clock_timestamp\(\)", body)] == []


def test_foreign_keys_have_the_user_in_one_place(distributed: psycopg.Connection) -> None:
    """Between two distributed tables: at the same place in both of its ends."""
    keys = distributed.execute(
        "select k.conname, a.attname, b.attname from pg_constraint as k"
        " join citus_stand_ins.asked as t on t.of = k.conrelid::regclass::text"
        " join citus_stand_ins.asked as r on r.of = k.confrelid::regclass::text"
        " join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]"
        " join pg_attribute as b on b.attrelid = k.confrelid and b.attnum = k.confkey[1]"
        " where k.contype = 'f' and t.what = 'table' and r.what = 'table'"
    ).fetchall()
    assert len(keys) > 8
    assert {(own, other) for _, own, other in keys} == {("user_id", "user_id")}


def test_no_statement_has_a_function_where_citus_takes_none(
    distributed: psycopg.Connection,
) -> None:
    """In RETURNING or an UPDATE's CASE, COALESCE or of its columns: one that is not immutable.

    Nor a volatile one in an UPDATE of a user's rows at all.
    """
    rows = distributed.execute(
        "select proname, max(array_position('{i,s,v}', provolatile::text)) from pg_proc group by 1"
    ).fetchall()
    changing = {name for name, place in rows if place > 1}
    volatile = {name for name, place in rows if place > 2}
    found = set()
    for function in user_gate._functions(distributed):
        for statement in writes_in(function.statements):
            returned = called_in(statement.returningClause) & changing
            updated = (
                called_in(statement.targetList) & volatile
                | called_where_citus_wants_none(statement) & changing
                if isinstance(statement, ast.UpdateStmt)
                else set()
            )
            found |= {(function.name, name) for name in returned | updated}
    assert found == {("private.recount_conversation(uuid,uuid)", "branch_at")}  # the doctor's


def writes_in(node: Any) -> Iterator[Any]:
    """Yield each statement that writes, those within others too."""
    return all_of(node, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt)


def called_where_citus_wants_none(update: Any) -> set[str]:
    """Return the functions that an update calls in CASE and COALESCE, or of its own columns."""
    within = (*update.targetList, update.whereClause)
    either = [part for node in within for part in all_of(node, ast.CaseExpr, ast.CoalesceExpr)]
    calls = [part for node in within for part in all_of(node, ast.FuncCall)]
    of_columns = [
        call for call in calls if update.relation.alias.aliasname in tables_named_in(call)
    ]
    return {name for part in either + of_columns for name in called_in(part)}


def tables_named_in(node: Any) -> set[str]:
    """Return by which tables' names columns are named in an expression."""
    return {column.fields[0].sval for column in all_of(node, ast.ColumnRef)}


def called_in(node: Any) -> set[str]:
    """Return the names of the functions that are called in an expression."""
    return {call.funcname[-1].sval for call in all_of(node, ast.FuncCall)}


def all_of(node: Any, *kinds: type) -> Iterator[Any]:
    """Yield a node and all within it, of these kinds."""
    if isinstance(node, kinds):
        yield node
    for child in user_gate._children(node):
        yield from all_of(child, *kinds)


def test_a_conversation_goes_on_as_before(distributed: psycopg.Connection) -> None:
    """Turns, their key, a page, a list, a search, a deletion; and nothing is broken."""
    service, user_id = Caller(distributed), make_account(distributed)
    begun = service.begin(user_id, "A heron", idempotency_key="key")
    chat = begun["conversation"]["id"]
    extension = {"user_id": user_id, "turn_id": begun["turn"]["id"], "attempt": 1}
    extension |= {"draft_offset": 0, "draft_tail": "A bird"}
    extended = service.call("extend_turns", extensions=Jsonb([extension]), lease_seconds=26)
    assert extended["turns"][0]["draft_length"] == 6
    assert service.complete(begun)["outcome"] == "completed"
    assert service.begin(user_id, "A heron", idempotency_key="key")["outcome"] == "replayed"
    assert assert_whole(distributed, chat) == 2
    service.call("index_messages", user_id=user_id)
    service.begin(user_id, "Another", conversation_id=chat)
    act_as(distributed, user_id)
    distributed.execute("set role authenticated")
    owner = Caller(distributed, user_id)
    assert len(owner.call("load_conversation", conversation_id=chat)["messages"]) == 3
    assert len(owner.call("list_conversations")["conversations"]) == 1
    assert len(owner.call("search_messages", q="heron")["hits"]) == 1
    assert len(owner.call("export_messages", conversation_id=chat)["messages"]) == 3
    distributed.execute("reset role")
    assert service.call("list_users_to_index") == {"users": [user_id]}
    assert service.call("check_invariants")["broken"] == []
    assert service.call("delete_conversation", user_id=user_id, conversation_id=chat) is not None


def asked(db: psycopg.Connection, what: str) -> dict[str, str]:
    """Return what was asked for of each table or function, each of which is named once."""
    query = "select of, with_what from citus_stand_ins.asked where what = %s"
    rows = db.execute(query, (what,)).fetchall()
    assert len(dict(rows)) == len(rows) or what == "placements"
    return dict(rows)
