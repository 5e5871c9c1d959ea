"""The schema gate: what every table, policy and function of ours must keep, new ones included."""

import json
import uuid
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql
import pytest

from local.database import MIGRATIONS
from tests.support.schema_gate import LINTS, findings, unwritten_names

SEARCH = (
    "uuid,text,uuid,uuid,text,timestamp with time zone,timestamp with time zone,boolean,integer,"
    "jsonb"
)
ADDED = "uuid,private.conversations,uuid,uuid,text,text,text,jsonb,jsonb,jsonb,text,text"

# What is allowed all the same, by lint. Everything else that a lint finds is a failure.
ALLOWED = {
    # Tables of the backend's own: nobody's rows are anybody's to see.
    "policy that does not name the caller": {
        "private.erasure_receipts.withheld",
        "private.import_keys.withheld",
        "private.import_parts.withheld",
        "private.legal_holds.withheld",
        "private.retention_policies.withheld",
        "private.bytes_written.withheld",
        "private.limits.withheld",
        "private.turn_usage.withheld",
    },
    "function without a pinned search_path": {
        # It commits, and a procedure that does can't have settings.
        "private.sweep(text,integer)",
    },
    "function that runs as its owner": {
        "private.assign_message_place()",  # a client may not write its conversation's counter
        "private.choose_branch(uuid,uuid,integer)",  # nor which branch is active
        "private.fork_conversation(uuid,private.conversations,uuid,uuid)",  # nor may the service
        # nor may the service, whose turns do without that trigger
        f"private.add_message({ADDED})",
        "private.end_imports(uuid)",  # the service may not say what is to be removed
        # the service may not write places, times or origins
        "take_import_part(uuid,uuid,integer,jsonb,boolean)",
        "check_invariants(integer,timestamp with time zone,jsonb)",  # reads the search index too
        "repair_invariants(uuid,jsonb)",  # the service may not change messages, except for this
        "private.being_deleted(uuid)",  # the policies hide what is being deleted
        "private.remove_in_steps()",  # whoever deletes may not mark a row
        "private.remove_step(uuid,timestamp with time zone)",  # messages are append-only
        "check_platform()",  # only the owner of a job sees it
        "add_tokens(uuid,uuid,bigint)",  # the service may not write what limits count
        "count_unstored_turn(uuid,integer,integer,bigint)",  # likewise
        "private.require_turns_left(uuid,integer,integer,bigint)",  # nor lock it
        "private.count_conversation_bytes()",  # nobody may write what limits count
        "private.note_turn_usage()",  # whoever deletes may not write what their limits count
        "private.forget_events()",  # no policy lets a client change live events
        "private.refuse_held_removal()",  # whoever deletes may not see the legal holds
        "index_messages(uuid,integer)",  # the service may not write the search index
        "list_users_to_index(integer)",  # nor read it
        "search.note_unindexed()",  # a client may not write the watermarks, its messages move them
        "search.forget_words()",  # nor may who repairs a message
        f"search.find_messages({SEARCH})",  # under a policy no search index serves
        "private.activate_branch(uuid,uuid,integer)",  # as the next one
        "private.broadcast_message()",  # a client may not send to a topic
        "private.broadcast(uuid,uuid,text,text,jsonb)",  # likewise
    },
}

# Inserts that the policy alone must refuse, by table: what is changed in a row that is allowed.
REFUSED_ROWS: dict[str, list[dict[str, object]]] = {
    "conversations": [{"user_id": "victim"}],
    "messages": [
        {"user_id": "victim"},
        {"conversation_id": "victim's", "user_id": "victim"},
        {"role": "assistant"},
        {"role": "system"},
        {"role": "system", "is_summary": True},
        {"is_summary": True},
        {"turn_id": "any"},
    ],
}

# Each breaks the schema in one way, and names the lint that must see it, and what it then says.
PLANTED = [
    (
        "create table public.planted (id uuid constraint planted_pkey primary key)",
        "table without row-level security",
        "planted",
    ),
    (
        "create view public.planted as select * from public.messages",
        "view that runs as its owner",
        "planted",
    ),
    (
        "drop policy update_own on public.conversations",
        "command without a policy or a comment that says why",
        "conversations: update",
    ),
    (
        "comment on table public.turns is 'No policy for insert, update: they are ours to write.'",
        "command without a policy or a comment that says why",
        "turns: delete",
    ),
    (
        "create policy planted on public.messages for select using (user_id = (select auth.uid()))",
        "policy for somebody other than signed-in users",
        "public.messages.planted",
    ),
    (
        "create policy planted on public.turns for select to authenticated using (true)",
        "policy that asks nothing",
        "public.turns.planted",
    ),
    (
        "create policy planted on public.messages for insert to authenticated"
        " with check ((select auth.uid()) is not null)",
        "policy that does not name the caller",
        "public.messages.planted",
    ),
    (
        "create policy planted on public.turns for select to authenticated"
        " using (user_id = auth.uid())",
        "policy that asks who is calling once a row",
        "public.turns.planted",
    ),
    (
        "create policy planted on public.turns for update to authenticated"
        " using (user_id = (select auth.uid()))",
        "update policy without a check",
        "public.turns.planted",
    ),
    (
        "grant select (title) on public.conversations to anon",
        "table or column granted to anon",
        "conversations",
    ),
    (
        "grant trigger on public.turns to public",
        "table or column granted to anon",
        "turns",
    ),
    (
        "create sequence public.planted; grant usage on sequence public.planted to anon",
        "sequence granted to anon",
        "planted",
    ),
    ("grant execute on function public.ping() to anon", "function granted to anon", "ping()"),
    (
        "create function public.planted() returns int language sql as 'select 1'",
        "function with no grants written out",
        "planted()",
    ),
    ("grant execute on function public.ping() to public", "function granted to public", "ping()"),
    (
        "alter function public.ping() reset search_path",
        "function without a pinned search_path",
        "ping()",
    ),
    (
        "alter function public.ping() set search_path = public",
        "function without a pinned search_path",
        "ping()",
    ),
    (
        "alter function public.ping() set enable_sort = off",
        "function that is compiled for what it switches off",
        "ping()",
    ),
    (
        "alter function public.ping() security definer",
        "function that runs as its owner",
        "ping()",
    ),
    (
        "drop index public.idx_turns_user_id_conversation_id",
        "foreign key without an index",
        "turns.turns_user_id_conversation_id_fkey",
    ),
    (
        "create table public.planted (id uuid)",
        "table without a primary key",
        "planted",
    ),
    (
        "comment on function public.ping() is null",
        "table or function without a comment",
        "ping()",
    ),
]


@pytest.fixture(scope="session")
def migrations() -> str:
    """The text of every migration."""
    return "\n".join(Path(script).read_text() for script in sorted(MIGRATIONS.glob("*.sql")))


@pytest.mark.promise("grants", red="`begin_turn` granted to `anon`")
@pytest.mark.promise("schema gate", red="`turns` without row-level security")
@pytest.mark.parametrize("lint", LINTS)
def test_the_schema_has_no(db: psycopg.Connection, lint: str) -> None:
    """On the running stack, this lint finds what is listed as allowed, and nothing else."""
    assert findings(db, lint) == ALLOWED.get(lint, set())


def test_every_constraint_and_index_has_a_deliberate_name(
    db: psycopg.Connection, migrations: str
) -> None:
    """Each name in the catalog is written in a migration, none was made up by Postgres."""
    assert unwritten_names(db, migrations) == set()


@pytest.mark.promise("grants")
@pytest.mark.parametrize("schema", ["public", "private", "search"])
def test_no_client_may_create_anything(db: psycopg.Connection, schema: str) -> None:
    """The roles of the Data API can't add tables or functions of their own."""
    allowed = db.execute(
        "select role from unnest(array['anon', 'authenticated', 'service_role']) as role"
        " where has_schema_privilege(role, %s, 'create')",
        (schema,),
    ).fetchall()
    assert allowed == []


def test_nobody_but_a_signed_in_user_reaches_the_search_index(db: psycopg.Connection) -> None:
    """And they the functions alone: the tables are granted to no one."""
    reach = db.execute(
        "select role, has_schema_privilege(role, 'search', 'usage'),"
        " bool_or(has_any_column_privilege(role, name, 'select, insert, update, references')"
        " or has_table_privilege(role, name, 'delete, truncate, trigger'))"
        " from unnest(array['anon', 'authenticated', 'service_role']) as role,"
        " unnest(array['search.documents', 'search.watermarks']) as name"
        " group by role order by role"
    ).fetchall()
    assert reach == [
        ("anon", False, False),
        ("authenticated", True, False),
        ("service_role", False, False),
    ]


def test_no_function_has_a_second_form(db: psycopg.Connection) -> None:
    """A call by named arguments that fits two functions of one name is refused as ambiguous."""
    doubled = db.execute(
        "select p.pronamespace::regnamespace::text, p.proname::text from pg_proc as p"
        " where p.pronamespace::regnamespace::text in ('public', 'private', 'search')"
        " group by 1, 2 having count(*) > 1"
    ).fetchall()
    assert doubled == []


@pytest.mark.promise("schema gate")
def test_whoever_sends_a_live_event_does_so_as_one_role(db: psycopg.Connection) -> None:
    """A commit sends several: the statements of the sender would be planned again for each role."""
    senders = db.execute(
        "select p.proname::text, p.prosecdef from pg_proc as p"
        " where p.prosrc like '%realtime.send(%' and p.pronamespace <> 'realtime'::regnamespace"
    )
    assert dict(senders) == {
        "activate_branch": True,
        "broadcast": True,
    }


def test_each_insert_policy_has_its_attempts(db: psycopg.Connection) -> None:
    """A new table that users may insert into fails here until REFUSED_ROWS has its row."""
    tables = db.execute(
        "select distinct tablename::text from pg_policies"
        " where schemaname = 'public' and cmd in ('INSERT', 'ALL')"
    ).fetchall()
    assert {table for (table,) in tables} == set(REFUSED_ROWS)


@pytest.mark.promise("schema gate")
@pytest.mark.promise("own rows", red="`role = 'user'` taken out of the insert policy")
@pytest.mark.parametrize(
    ("table", "change"),
    [(table, change) for table, changes in REFUSED_ROWS.items() for change in changes],
)
def test_the_insert_policy_alone_refuses_what_is_not_the_callers(
    scratch: psycopg.Connection, table: str, change: dict[str, object]
) -> None:
    """With every column granted by mistake, the policy still refuses the row."""
    rows = _people(scratch)
    row = rows["allowed"][table] | {
        column: rows["ids"].get(str(value), value) for column, value in change.items()
    }
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        _insert(scratch, table, row)


def test_the_foreign_key_refuses_what_is_not_the_callers(scratch: psycopg.Connection) -> None:
    """With every column granted by mistake, another's conversation and none are one answer."""
    rows = _people(scratch)
    refused = set()
    for conversation in ("victim's", "missing"):
        row = rows["allowed"]["messages"] | {"conversation_id": rows["ids"][conversation]}
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
            _insert(scratch, "messages", row)
        refused.add((caught.value.diag.message_primary, caught.value.diag.message_detail))
    assert len(refused) == 1


@pytest.mark.parametrize("table", REFUSED_ROWS)
def test_the_insert_policy_lets_the_callers_own_row_through(
    scratch: psycopg.Connection, table: str
) -> None:
    """The row that the refused ones differ from is accepted, so they fail for their difference."""
    _insert(scratch, table, _people(scratch)["allowed"][table])


@pytest.mark.parametrize(
    ("sql", "lint", "finding"), PLANTED, ids=[f"{row[1]} {row[2]}" for row in PLANTED]
)
def test_negative_control_the_gate_sees(
    scratch: psycopg.Connection, sql: str, lint: str, finding: str
) -> None:
    """A schema broken on purpose makes the lint say so, and the same schema unbroken did not."""
    before = findings(scratch, lint)
    scratch.execute(sql.encode())
    assert before == ALLOWED.get(lint, set())
    assert findings(scratch, lint) - before == {finding}


def test_negative_control_the_gate_sees_every_lint_once() -> None:
    """No lint is without a planted mistake."""
    assert {lint for _, lint, _ in PLANTED} == set(LINTS)


def test_negative_control_the_gate_sees_a_name_that_postgres_made_up(
    scratch: psycopg.Connection, migrations: str
) -> None:
    """A check and an index without a name of their own are found."""
    scratch.execute("alter table public.turns add check (attempt < 1000000)")
    scratch.execute("create index on public.turns (started_at)")
    assert unwritten_names(scratch, migrations) == {"turns_attempt_check", "turns_started_at_idx"}


def test_negative_control_a_loose_insert_policy_is_seen(scratch: psycopg.Connection) -> None:
    """A policy that only asks for a signed-in user lets the victim's row through."""
    scratch.execute(
        "create policy planted on public.messages for insert to authenticated"
        " with check ((select auth.uid()) is not null)"
    )
    rows = _people(scratch)
    row = rows["allowed"]["messages"] | {
        "user_id": rows["ids"]["victim"],
        "conversation_id": rows["ids"]["victim's"],
        "role": "system",
    }
    _insert(scratch, "messages", row)


def _people(scratch: psycopg.Connection) -> dict[str, dict[str, Any]]:
    """Make a caller and a victim, each with a conversation; sign the caller in for good.

    Returns the ids by name, and for each table a row that the caller may insert.
    """
    ids: dict[str, object] = {}
    for name, chat in (("caller", "caller's"), ("victim", "victim's")):
        ids[name], ids[chat] = str(uuid.uuid4()), str(uuid.uuid4())
        scratch.execute("insert into auth.users (id) values (%s)", (ids[name],))
        scratch.execute(
            "insert into public.conversations (id, user_id) values (%s, %s)", (ids[chat], ids[name])
        )
    ids |= {"missing": str(uuid.uuid4()), "any": str(uuid.uuid4())}
    scratch.execute("grant insert on all tables in schema public to authenticated")
    scratch.execute("grant select on auth.users to authenticated")
    claims = json.dumps({"sub": ids["caller"], "role": "authenticated"})
    scratch.execute("select set_config('request.jwt.claims', %s, false)", (claims,))
    allowed: dict[str, dict[str, object]] = {
        "conversations": {"user_id": ids["caller"], "title": "Mine"},
        "messages": {
            "conversation_id": ids["caller's"],
            "user_id": ids["caller"],
            "role": "user",
            "content": "Hello",
            "is_summary": False,
            "turn_id": None,
        },
    }
    return {"ids": ids, "allowed": allowed}


def _insert(scratch: psycopg.Connection, table: str, row: dict[str, object]) -> None:
    """Insert a row as the signed-in caller."""
    insert = psycopg.sql.SQL("insert into public.{} ({}) values ({})").format(
        psycopg.sql.Identifier(table),
        psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, row)),
        psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() * len(row)),
    )
    with scratch.transaction():
        scratch.execute("set local role authenticated")
        scratch.execute(insert, list(row.values()))
