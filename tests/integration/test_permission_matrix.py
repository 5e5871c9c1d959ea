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
    "turns": {
        "anon": ("denied", "denied", "denied", "denied"),
        "owner": ("done", "denied", "denied", "denied"),
        "other": ("none", "denied", "denied", "denied"),
        "service": ("done", "done", "done", "denied"),
    },
}

# What each of the four commands is tried with: the owner's row, a new one of theirs, a change.
ROW_OF: dict[str, Callable[[World], str]] = {
    "conversations": lambda world: world.conversation,
    "messages": lambda world: world.message,
    "turns": lambda world: world.turn,
}
NEW_ROW: dict[str, Callable[[World], dict[str, Any]]] = {
    "conversations": lambda world: {"user_id": world.owner.id, "title": "New"},
    "messages": lambda world: {
        "conversation_id": world.conversation,
        "user_id": world.owner.id,
        "role": "user",
        "content": "New",
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
}
CHANGE: dict[str, dict[str, Any]] = {
    "conversations": {"title": "Changed"},
    "messages": {"content": "Changed"},
    "turns": {"draft": "Changed"},
}

# Columns that a signed-in user may write; every other one is refused.
WRITABLE = {
    ("conversations", "insert"): {"user_id", "project_id", "title", "metadata"},
    ("conversations", "update"): {"project_id", "title", "metadata", "archived_at"},
    ("messages", "insert"): {"conversation_id", "user_id", "role", "content", "metadata"},
    ("messages", "update"): set(),
    ("turns", "insert"): set(),
    ("turns", "update"): set(),
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
    "delete_conversation": OF_THE_OWNER,
    "get_conversation": OF_THE_OWNER,
    "load_conversation": OF_THE_OWNER,
    "update_conversation": OF_THE_OWNER,
}

# Trigger functions: nobody calls them.
TRIGGERS = {"assign_message_place", "broadcast_message"}

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
    "load_turn": lambda world: {"turn_id": world.turn},
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
    row, before = f"{table}?id=eq.{ROW_OF[table](world)}", _owned(db, world)
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
    before = _owned(db, world)
    method, path = ("POST", table) if command == "insert" else (
        "PATCH", f"{table}?id=eq.{ROW_OF[table](world)}")  # fmt: skip
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
