"""Who may do what over the Data API: every actor, command, table, column and function.

The expectations are written out here, and the catalog says whether any is missing: a new table,
column or function fails a test until its row is written.
"""

import re
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import psycopg.sql
import pytest

from local.stack import Stack
from tests.integration.catalog import EXPECTED, describe
from tests.integration.worlds import ACTORS, SECRET_TEXT, World, make_world, outcome

COMMANDS = ("select", "insert", "update", "delete")

# done: it happened. none: an empty answer, as if there were no such row. denied: refused.
TABLES = {
    # table: actor: select, insert, update, delete
    "conversations": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "done", "done", "done"),
        "other": ("none", "denied", "none", "none"),
        "service": ("done", "done", "done", "done"),
    },
    "messages": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "done", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "done", "denied", "denied"),
    },
    "import_parts": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("denied", "denied", "denied", "denied"),
        "other": ("denied", "denied", "denied", "denied"),
        "service": ("done", "done", "denied", "done"),
    },
    "turns": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "denied", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "done", "done", "denied"),
    },
    "retention_policies": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("denied", "denied", "denied", "denied"),
        "other": ("denied", "denied", "denied", "denied"),
        "service": ("done", "done", "done", "done"),
    },
    "legal_holds": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("denied", "denied", "denied", "denied"),
        "other": ("denied", "denied", "denied", "denied"),
        "service": ("done", "done", "done", "denied"),
    },
    "erasure_receipts": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("denied", "denied", "denied", "denied"),
        "other": ("denied", "denied", "denied", "denied"),
        "service": ("done", "done", "done", "denied"),
    },
    "deleted_turns": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("denied", "denied", "denied", "denied"),
        "other": ("denied", "denied", "denied", "denied"),
        "service": ("done", "denied", "denied", "denied"),
    },
    "summaries": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "denied", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "done", "denied", "denied"),
    },
}

# What each of the four commands is tried with: the owner's row, a new one of theirs, a change.
ROW_OF: dict[str, Callable[[World], str]] = {
    "conversations": lambda world: world.conversation,
    "messages": lambda world: world.message,
    "import_parts": lambda world: world.import_part,
    "turns": lambda world: world.turn,
    "summaries": lambda world: world.free_message,
}

# Tables that a world has no row in: one of the owner's, made where a test is about it.
PLANTED_ROWS = {
    "retention_policies": "insert into retention_policies (user_id) values (%s) returning id",
    "legal_holds": "insert into legal_holds (user_id, reason) values (%s, 'case') returning id",
    "erasure_receipts": "insert into erasure_receipts (user_id, idempotency_key, requested_by)"
    " values (%s, 'planted', 'user') returning id",
    "deleted_turns": "insert into deleted_turns (id, user_id, started_at)"
    " values (gen_random_uuid(), %s, now()) returning id",
}
NEW_ROW: dict[str, Callable[[World], dict[str, Any]]] = {
    "conversations": lambda world: {"user_id": world.owner.id, "title": "New"},
    "messages": lambda world: {
        "conversation_id": world.conversation,
        "user_id": world.owner.id,
        "role": "user",
        "content": "New",
    },
    "import_parts": lambda world: {
        "import_id": str(uuid.uuid4()),
        "part": 0,
        "user_id": world.owner.id,
    },
    "turns": lambda world: {
        "conversation_id": world.conversation,
        "user_id": world.owner.id,
        "idempotency_key": uuid.uuid4().hex,
        "request_hash": "hash",
        "status": "completed",
        "lease_expires_at": "2026-11-01T00:00:00+00:00",
        "finished_at": "2026-11-01T00:00:00+00:00",
        "user_message_id": world.free_message,
        "reply_message_id": world.free_message,
    },
    "retention_policies": lambda world: {"user_id": world.owner.id, "archive_after_days": 30},
    "legal_holds": lambda world: {"user_id": world.owner.id, "reason": "case"},
    "erasure_receipts": lambda world: {
        "user_id": world.owner.id,
        "idempotency_key": "new",
        "requested_by": "service",
    },
    "deleted_turns": lambda world: {
        "id": str(uuid.uuid4()),
        "user_id": world.owner.id,
        "started_at": "2026-11-01T00:00:00+00:00",
    },
    "summaries": lambda world: {
        "id": world.message,
        "conversation_id": world.conversation,
        "user_id": world.owner.id,
        "through_message_id": world.free_message,
    },
}
CHANGE: dict[str, dict[str, Any]] = {
    "conversations": {"title": "Changed"},
    "messages": {"content": "Changed"},
    "import_parts": {"part": 9},
    "turns": {"draft": "Changed"},
    "retention_policies": {"delete_after_days": 30},
    "legal_holds": {"released_at": "2026-11-01T00:00:00+00:00"},
    "erasure_receipts": {"held": 1},
    "deleted_turns": {"started_at": "2026-11-01T00:00:00+00:00"},
    "summaries": {"created_at": "2026-11-01T00:00:00+00:00"},
}

# Columns that a signed-in user may write; every other one is refused.
WRITABLE = {
    ("conversations", "insert"): {"user_id", "project_id", "title", "metadata"},
    ("conversations", "update"): {"project_id", "title", "metadata", "archived_at"},
    ("messages", "insert"): {"conversation_id", "user_id", "role", "content", "metadata"},
    ("messages", "update"): set(),
    ("import_parts", "insert"): set(),
    ("import_parts", "update"): set(),
    ("turns", "insert"): set(),
    ("turns", "update"): set(),
    ("retention_policies", "insert"): set(),
    ("retention_policies", "update"): set(),
    ("legal_holds", "insert"): set(),
    ("legal_holds", "update"): set(),
    ("erasure_receipts", "insert"): set(),
    ("erasure_receipts", "update"): set(),
    ("deleted_turns", "insert"): set(),
    ("deleted_turns", "update"): set(),
    ("summaries", "insert"): set(),
    ("summaries", "update"): set(),
}

NOBODY = dict.fromkeys(("anon", "owner", "other", "service"), "denied")
BACKEND = {"anon": "denied", "owner": "denied", "other": "denied", "service": "done"}
OF_THE_OWNER = {"anon": "denied", "owner": "done", "other": "missing", "service": "done"}
OF_ANY_USER = {"anon": "denied", "owner": "done", "other": "done", "service": "done"}

FUNCTIONS = {
    "begin_turn": BACKEND,
    "broadcast_status": BACKEND,
    "cancel_turn": BACKEND,
    "answer_turn": NOBODY,
    "commit_import": BACKEND,
    "discard_import": BACKEND,
    "export_conversations": OF_ANY_USER,  # the ids that the caller may see
    "export_messages": OF_THE_OWNER,
    "require_whole": NOBODY,
    "stage_import": BACKEND,
    "check_invariants": BACKEND,
    "drop_second_replies": NOBODY,
    "find_broken": BACKEND,
    "lock_conversation": NOBODY,
    "recount_conversation": NOBODY,
    "recover_conversation": NOBODY,
    "renumber_conversation": NOBODY,
    "repair_broken": NOBODY,
    "complete_turn": BACKEND,
    "extend_turn": BACKEND,
    "extend_turns": BACKEND,
    "interrupt_turn": BACKEND,
    "ping": BACKEND,
    "repair_invariants": BACKEND,
    "require_turns_left": BACKEND,
    "resume_turn": BACKEND,
    "settle_expired_turn": BACKEND,
    "settle_turn": BACKEND,
    "sweep_turns": BACKEND,
    "title_from_request": BACKEND,
    "create_conversation": OF_ANY_USER | {"service": "denied"},
    "list_conversations": OF_ANY_USER,
    "describe_turn": OF_ANY_USER,  # what a caller can't see is null
    "search_messages": OF_ANY_USER | {"service": "denied"},  # of one's own
    "load_turn": OF_THE_OWNER,
    "load_history": OF_THE_OWNER,
    "load_unsummarised": BACKEND,
    "write_summary": BACKEND,
    "delete_conversation": OF_THE_OWNER,
    "get_conversation": OF_THE_OWNER,
    "load_conversation": OF_THE_OWNER,
    "update_conversation": OF_THE_OWNER,
    "bucket_bounds": OF_ANY_USER,
    "conversation_analytics": OF_ANY_USER,  # what a caller can't see is not counted
    "apply_retention": BACKEND,
    "delete_retention_policy": BACKEND | {"service": "missing"},
    "erase_account": BACKEND,
    "is_held": BACKEND,
    "list_legal_holds": BACKEND,
    "list_retention_policies": BACKEND,
    "place_legal_hold": BACKEND,
    "release_legal_hold": BACKEND | {"service": "missing"},
    "retention_due": BACKEND | {"service": "none"},
    "set_retention_policy": BACKEND,
}

# The role that a call by each actor runs as; both of the users are `authenticated`.
ROLES = {"anon": "anon", "authenticated": "owner", "service_role": "service"}

# Trigger functions: nobody calls them.
TRIGGERS = {
    "assign_message_place",
    "broadcast_message",
    "forget_events",
    "note_deleted_turns",
    "note_restore",
    "refuse_held_removal",
    "refuse_unreleased_removal",
}

ARGUMENTS: dict[str, Callable[[World], dict[str, Any]]] = {
    "begin_turn": lambda world: world.turn_arguments(),
    "broadcast_status": lambda world: {
        "conversation_id": world.conversation,
        "turn_id": world.turn,
        "status": "thinking",
    },
    "cancel_turn": lambda world: {"turn_id": world.turn},
    # On a stack that others use: nothing there is old enough to be found.
    "check_invariants": lambda world: {"grace_seconds": 1_000_000},
    "find_broken": lambda world: {"grace_seconds": 1_000_000},
    "answer_turn": lambda world: {"turn_id": world.turn},
    "commit_import": lambda world: {
        "import_id": world.import_id,
        "user_id": world.owner.id,
        "parts": 1,
    },
    "discard_import": lambda world: {"import_id": world.import_id},
    "export_conversations": lambda world: {"user_id": world.owner.id},
    "export_messages": lambda world: {"conversation_id": world.conversation},
    "require_whole": lambda world: {"conversation_ids": [world.conversation]},
    "stage_import": lambda world: {
        "import_id": str(uuid.uuid4()),
        "part": 0,
        "user_id": world.owner.id,
        "conversations": [],
        "messages": [],
    },
    "drop_second_replies": lambda world: {"turn_id": world.turn},
    "lock_conversation": lambda world: {"conversation_id": world.conversation},
    "recount_conversation": lambda world: {"conversation_id": world.conversation},
    "recover_conversation": lambda world: {
        "conversation_id": world.conversation,
        "user_id": world.owner.id,
    },
    "renumber_conversation": lambda world: {"conversation_id": world.conversation},
    "repair_broken": lambda world: {"check_name": "seq_gap", "broken_id": world.conversation},
    "repair_invariants": lambda world: {"grace_seconds": 1_000_000},
    "sweep_turns": lambda world: {"most": 0},
    "extend_turn": lambda world: {"turn_id": world.turn, "attempt": 1, "lease_seconds": 60},
    "extend_turns": lambda world: {
        "beats": [{"turn_id": world.turn, "attempt": 1, "draft_offset": 0, "draft_tail": ""}],
        "lease_seconds": 60,
    },
    "load_turn": lambda world: {"turn_id": world.turn},
    "load_history": lambda world: {"conversation_id": world.conversation},
    "load_unsummarised": lambda world: {
        "conversation_id": world.conversation,
        "history_tokens": 100,
    },
    "write_summary": lambda world: {
        "conversation_id": world.conversation,
        "message_id": str(uuid.uuid4()),
        "covers_to": 1,
        "content": "So far.",
    },
    "search_messages": lambda world: {"q": SECRET_TEXT},
    "require_turns_left": lambda world: {
        "user_id": world.owner.id,
        "turns_per_minute": 100,
        "turns_per_day": 100,
    },
    "settle_expired_turn": lambda world: {"conversation_id": world.conversation},
    "complete_turn": lambda world: {
        "turn_id": world.turn,
        "attempt": 1,
        "message_id": str(uuid.uuid4()),
        "status": "completed",
        "content": "Done.",
    },
    "describe_turn": lambda world: {"turn_id": world.turn, "outcome": "any"},
    "interrupt_turn": lambda world: {"turn_id": world.turn},
    "ping": lambda world: {},
    "resume_turn": lambda world: {
        "turn_id": world.turn,
        "lease_seconds": 60,
        "history_limit": 10,
    },
    "settle_turn": lambda world: {
        "turn_id": world.turn,
        "status": "completed",
        "message_id": str(uuid.uuid4()),
        "content": "Done.",
    },
    "title_from_request": lambda world: {"request": "Title"},
    "create_conversation": lambda world: {"title": "Mine"},
    "list_conversations": lambda world: {},
    "delete_conversation": lambda world: {"conversation_id": world.conversation},
    "get_conversation": lambda world: {"conversation_id": world.conversation},
    "load_conversation": lambda world: {"conversation_id": world.conversation},
    "update_conversation": lambda world: {
        "conversation_id": world.conversation,
        "title": "Changed",
    },
}

NOVEMBER = {"starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"}
ARGUMENTS |= {
    "bucket_bounds": lambda world: NOVEMBER | {"bucket": "week", "time_zone": "UTC"},
    "conversation_analytics": lambda world: NOVEMBER | {"user_id": world.owner.id},
    "apply_retention": lambda world: {"dry_run": False, "user_id": world.owner.id},
    "delete_retention_policy": lambda world: {"policy_id": world.message},
    "erase_account": lambda world: {"user_id": world.owner.id, "idempotency_key": "key"},
    "is_held": lambda world: {"conversation_id": world.conversation, "user_id": world.owner.id},
    "list_legal_holds": lambda world: {"user_id": world.owner.id},
    "list_retention_policies": lambda world: {"user_id": world.owner.id},
    "place_legal_hold": lambda world: {"user_id": world.owner.id, "reason": "case"},
    "release_legal_hold": lambda world: {"hold_id": world.message},
    "retention_due": lambda world: {
        "due_at": "2026-12-01T00:00:00Z",
        "most": 1,
        "user_id": world.owner.id,
    },
    "set_retention_policy": lambda world: {"user_id": world.owner.id, "archive_after_days": 30},
}

# A value of its type for each column, to be refused for the column alone.
SAMPLES: dict[str, Any] = {
    "uuid": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11",
    "text": "user",
    "jsonb": {},
    "boolean": False,
    "bigint": 1,
    "integer": 1,
    "timestamp with time zone": "2026-11-01T00:00:00+00:00",
}

EMBEDS = [
    "conversations?select=*,messages(*)",
    "conversations?select=*,turns(*)",
    # Named, because the local Data API also sees a way over turns.
    "messages?select=*,conversations!messages_conversation_id_user_id_fkey(*)",
    "turns?select=*,conversations(*)",
]


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    """Two new users, of whom one owns a conversation with a running turn."""
    made = await make_world(stack)
    yield made
    await made.aclose()


def test_every_table_has_its_row(db: psycopg.Connection) -> None:
    """A new table or view in public fails here until its expectations are written."""
    tables = db.execute(
        "select relname::text from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')"
    ).fetchall()
    assert {name for (name,) in tables} == set(TABLES)
    assert all(set(row) == set(ACTORS) for row in TABLES.values())


def test_every_function_has_its_row(db: psycopg.Connection) -> None:
    """A new function in public fails here until its expectations are written."""
    functions = db.execute(
        "select proname::text, prorettype = 'trigger'::regtype from pg_proc"
        " where pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert {name for name, is_trigger in functions if not is_trigger} == set(FUNCTIONS)
    assert {name for name, is_trigger in functions if is_trigger} == TRIGGERS
    assert len(functions) == len(FUNCTIONS) + len(TRIGGERS), "an overload has no row of its own"
    assert all(set(row) == set(ACTORS) for row in FUNCTIONS.values())


def test_each_role_may_execute_what_its_row_says_and_nothing_else(db: psycopg.Connection) -> None:
    """By the catalog itself: a call may be refused inside, also where the grant is too wide."""
    granted: dict[str, set[str]] = {name: set() for name in {*FUNCTIONS, *TRIGGERS}}
    for name, role in db.execute(
        "select proname::text, role from pg_proc, unnest(%s::text[]) as role"
        " where pronamespace = 'public'::regnamespace"
        " and has_function_privilege(role, pg_proc.oid, 'execute')",
        ([*ROLES],),
    ):
        granted[name].add(role)
    expected = {
        name: {role for role, actor in ROLES.items() if row[actor] != "denied"}
        for name, row in FUNCTIONS.items()
    }
    assert granted == expected | {name: set() for name in TRIGGERS}


def test_negative_control_a_grant_too_many_is_noticed(stack: Stack) -> None:
    """Also one that leads nowhere, since what the function calls is withheld."""
    with psycopg.connect(stack.settings.db_url) as connection:
        name = connection.execute(
            "select oid::regprocedure::text from pg_proc where proname = 'begin_turn'"
        ).fetchall()[0][0]
        connection.execute(f"grant execute on function {name} to anon".encode())
        with pytest.raises(AssertionError, match="begin_turn"):
            test_each_role_may_execute_what_its_row_says_and_nothing_else(connection)
        connection.rollback()


def test_negative_control_a_table_without_a_row_is_noticed(stack: Stack) -> None:
    """A table planted in a transaction makes the test for missing rows fail."""
    with psycopg.connect(stack.settings.db_url) as connection:
        connection.execute("create table public.planted (id int)")
        connection.execute(
            "create function public.planted() returns int language sql as 'select 1'"
        )
        with pytest.raises(AssertionError):
            test_every_table_has_its_row(connection)
        with pytest.raises(AssertionError):
            test_every_function_has_its_row(connection)
        connection.rollback()


async def test_the_data_api_leaves_the_grants_as_the_migrations_wrote_them(
    world: World, db: psycopg.Connection
) -> None:
    """After requests by everybody the catalog is still the expected one.

    A Data API that grants by itself makes every other test here lie.
    """
    for actor in ACTORS:
        await world.call(actor, "GET", "conversations?limit=1")
    assert describe(db) == EXPECTED.read_text()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("table", TABLES)
async def test_a_command_on_a_table(
    world: World, db: psycopg.Connection, table: str, actor: str, command: str
) -> None:
    """The answer is the expected one; what is refused changes nothing and tells nothing."""
    row = f"{table}?id=eq.{_row_of(db, world, table) if command != 'insert' else None}"
    before = _owned(db, world)
    answer = await {
        "select": lambda: world.call(actor, "GET", row),
        "insert": lambda: world.call(actor, "POST", table, json=NEW_ROW[table](world)),
        "update": lambda: world.call(actor, "PATCH", row, json=CHANGE[table]),
        "delete": lambda: world.call(actor, "DELETE", row),
    }[command]()
    expected = TABLES[table][actor][COMMANDS.index(command)]
    assert outcome(answer) == expected, answer.text
    assert (_owned(db, world) != before) == (expected == "done" and command != "select")
    if expected != "done":
        assert SECRET_TEXT not in answer.text


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("function", FUNCTIONS)
async def test_a_call_of_a_function(
    world: World, db: psycopg.Connection, function: str, actor: str
) -> None:
    """The answer is the expected one; what is refused changes nothing; nobody sees the owner's."""
    before = _owned(db, world)
    answer = await world.rpc(actor, function, ARGUMENTS[function](world))
    expected = FUNCTIONS[function][actor]
    assert outcome(answer) == expected, answer.text
    if expected != "done":
        assert _owned(db, world) == before
    if actor in {"anon", "other"}:
        assert _owned(db, world) == before
        assert SECRET_TEXT not in answer.text
        assert world.conversation not in answer.text


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("function", sorted(TRIGGERS))
async def test_a_trigger_function_can_not_be_called(
    world: World, function: str, actor: str
) -> None:
    """Not even by the service."""
    answer = await world.rpc(actor, function, {})
    assert answer.is_client_error, answer.text


@pytest.mark.parametrize("embed", EMBEDS)
async def test_an_embed_shows_what_a_select_shows(world: World, embed: str) -> None:
    """The owner gets both sides, another user no row, anon a refusal, the service everything."""
    column = "id" if embed.startswith("conversations") else "conversation_id"
    query = f"{embed}&{column}=eq.{world.conversation}"
    answers = {actor: await world.call(actor, "GET", query) for actor in ACTORS}
    assert {actor: outcome(answer) for actor, answer in answers.items()} == {
        "anon": "denied", "owner": "done", "other": "none", "service": "done",
    }, {actor: answer.text for actor, answer in answers.items()}  # fmt: skip
    name = re.sub(r"!\w+|\(\*\)", "", embed.partition("select=*,")[2])
    assert all(row[name] for row in answers["owner"].json())


async def test_an_embed_does_not_lead_from_ones_own_row_into_anothers(world: World) -> None:
    """All that another user lists with everything embedded is their own."""
    mine = (await world.call("other", "POST", "conversations", json={"title": "Mine"})).json()[0]
    answer = await world.call("other", "GET", "conversations?select=*,messages(*),turns(*)")
    assert [row["id"] for row in answer.json()] == [mine["id"]]
    assert SECRET_TEXT not in answer.text


@pytest.mark.parametrize(("table", "command"), WRITABLE)
async def test_a_user_can_write_no_column_but_those_listed(
    world: World, db: psycopg.Connection, table: str, command: str
) -> None:
    """Each column of the catalog that isn't listed is refused by itself, in one's own row too."""
    columns = db.execute(
        "select attname::text, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
        (f"public.{table}",),
    ).fetchall()
    writable = WRITABLE[table, command]
    assert writable <= {name for name, _ in columns}
    method, path = ("POST", table) if command == "insert" else (
        "PATCH", f"{table}?id=eq.{_row_of(db, world, table)}")  # fmt: skip
    before = _owned(db, world)
    base = {k: v for k, v in NEW_ROW[table](world).items() if k in writable}
    refused = {}
    for name, kind in columns:
        if name not in writable:
            row = (base if command == "insert" else {}) | {name: SAMPLES[kind]}
            refused[name] = outcome(await world.call("owner", method, path, json=row))
    assert set(refused.values()) == {"denied"}, refused
    assert _owned(db, world) == before


@pytest.mark.parametrize("given", [{}, {"user_id": "own"}, {"metadata": {"client": "cli"}}])
async def test_a_users_own_message_is_stored_in_its_place(
    world: World, given: dict[str, Any]
) -> None:
    """With or without user_id, the row gets the owner, the next seq and a later created_at."""
    row = {"conversation_id": world.conversation, "role": "user", "content": "Hi"} | given
    if "user_id" in row:
        row["user_id"] = world.owner.id
    stored = (await world.call("owner", "POST", "messages", json=row)).json()[0]
    last = (await world.call("owner", "GET", f"messages?id=eq.{world.free_message}")).json()[0]
    assert (stored["user_id"], stored["seq"]) == (world.owner.id, last["seq"] + 1)
    assert stored["created_at"] > last["created_at"]
    assert (stored["is_summary"], stored["turn_id"]) == (False, None)


async def test_several_messages_in_one_insert_take_their_places_in_order(world: World) -> None:
    """A batch gets consecutive places in the order given, and no two created_at are equal."""
    rows = [
        {"conversation_id": world.conversation, "role": "user", "content": str(n)}
        for n in range(20)
    ]
    stored = (await world.call("owner", "POST", "messages", json=rows)).json()
    in_order = sorted(stored, key=lambda row: row["seq"])
    assert [row["content"] for row in in_order] == [str(n) for n in range(20)]
    assert [row["seq"] for row in in_order] == list(range(3, 23))
    moments = [row["created_at"] for row in in_order]
    assert moments == sorted(set(moments))


@pytest.mark.parametrize(
    "change",
    [
        {"role": "assistant"},
        {"role": "system"},
        {"user_id": "other"},
        {"conversation_id": "others"},
        {"conversation_id": "others", "user_id": "other"},
        {"conversation_id": "missing"},
    ],
    ids=str,
)
async def test_a_message_that_is_not_ones_own_is_refused(
    world: World, db: psycopg.Connection, change: dict[str, str]
) -> None:
    """Another role, owner or conversation: 42501, nothing stored, no place used up."""
    others = (await world.call("other", "POST", "conversations", json={"title": "T"})).json()[0]
    named = {"other": world.other.id, "others": others["id"], "missing": str(uuid.uuid4())}
    row = {"conversation_id": world.conversation, "role": "user", "content": "x"}
    row |= {column: named.get(value, value) for column, value in change.items()}
    before = _owned(db, world)
    answer = await world.call("owner", "POST", "messages", json=row)
    stored = db.execute(
        "select last_seq, (select count(*) from messages where conversation_id = c.id)"
        " from conversations as c where id = %s",
        (others["id"],),
    ).fetchone()
    assert outcome(answer) == "denied", answer.text
    assert stored == (0, 0)
    assert _owned(db, world) == before


async def test_anothers_conversation_and_a_missing_one_are_one_answer(world: World) -> None:
    """Select, embed, insert, update, delete and every function say the very same of both."""
    missing = str(uuid.uuid4())
    said = {
        place: await _everything_said_of(world, place) for place in (world.conversation, missing)
    }
    assert said[world.conversation] == said[missing]


async def test_an_upsert_can_not_change_a_message(world: World, db: psycopg.Connection) -> None:
    """Neither merging nor ignoring duplicates gives a client or the service a way in."""
    before = _owned(db, world)
    row = NEW_ROW["messages"](world) | {"id": world.message, "content": "Changed"}
    for actor in ("anon", "owner", "other", "service"):
        answer = await world.call(
            actor, "POST", "messages", json=row, prefer="resolution=merge-duplicates"
        )
        assert outcome(answer) == "denied", (actor, answer.text)
    assert _owned(db, world) == before


async def test_the_service_can_repeat_an_insert_without_leaving_a_gap(
    world: World, db: psycopg.Connection
) -> None:
    """An insert that ignores duplicates stores nothing the second time and uses up no place."""
    row = NEW_ROW["messages"](world) | {"id": str(uuid.uuid4()), "role": "system"}
    for _ in range(2):
        answer = await world.call(
            "service", "POST", "messages", json=row, prefer="resolution=ignore-duplicates"
        )
        assert answer.is_success, answer.text
    seqs = db.execute(
        "select array_agg(m.seq order by m.seq), max(c.last_seq) from messages as m"
        " join conversations as c on c.id = m.conversation_id where c.id = %s",
        (world.conversation,),
    ).fetchone()
    assert seqs == ([1, 2, 3], 3)


@pytest.mark.parametrize(
    "schema", ["auth", "realtime", "search", "supabase_migrations", "pg_catalog"]
)
async def test_no_schema_but_public_is_served(world: World, schema: str) -> None:
    """Asking for another schema by header shows a user nothing of it."""
    tables = {
        "auth": "users",
        "realtime": "messages",
        "search": "documents",
        "supabase_migrations": "schema_migrations",
    }
    headers = world.headers["owner"] | {"accept-profile": schema}
    answer = await world.http.get(
        f"/rest/v1/{tables.get(schema, 'pg_authid')}?select=*", headers=headers
    )
    assert answer.is_client_error or all("seq" in row for row in answer.json()), answer.text


async def _everything_said_of(world: World, conversation: str) -> list[tuple[int, str]]:
    """Return status and body of each call that another user can make with a conversation's id."""
    row = {"conversation_id": conversation, "role": "user", "content": "x"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"conversations?id=eq.{conversation}", None),
        ("GET", f"conversations?id=eq.{conversation}&select=*,messages(*)", None),
        ("GET", f"messages?conversation_id=eq.{conversation}", None),
        ("GET", f"turns?conversation_id=eq.{conversation}", None),
        ("POST", "messages", row),
        ("POST", "messages", row | {"user_id": world.owner.id}),
        ("POST", "messages", row | {"role": "assistant"}),
        ("PATCH", f"conversations?id=eq.{conversation}", {"title": "x"}),
        ("DELETE", f"conversations?id=eq.{conversation}", None),
        *(
            ("POST", f"rpc/{function}", {"conversation_id": conversation})
            for function, row in FUNCTIONS.items()
            if row is OF_THE_OWNER
        ),
    ]
    answers = [await world.call("other", method, path, json=body) for method, path, body in calls]
    return [(answer.status_code, answer.text) for answer in answers]


def _row_of(db: psycopg.Connection, world: World, table: str) -> str:
    """Return the id of the owner's row in a table."""
    if table not in PLANTED_ROWS:
        return ROW_OF[table](world)
    planted = db.execute(PLANTED_ROWS[table].encode(), (world.owner.id,)).fetchone()
    assert planted is not None
    return str(planted[0])


def _owned(db: psycopg.Connection, world: World) -> list[tuple[Any, ...]]:
    """Return every row of the owner's, in every table."""
    return [
        row
        for table in TABLES
        for row in db.execute(
            psycopg.sql.SQL(
                "select {name}, id::text, to_jsonb(t)::text from public.{table} as t"
                " where user_id = %s order by id"
            ).format(name=table, table=psycopg.sql.Identifier(table)),
            (world.owner.id,),
        ).fetchall()
    ]
