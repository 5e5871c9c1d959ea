"""Each actor tries each command, table, column and function over the Data API.

What is expected stands in permissions.py.
"""

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import psycopg.sql
import pytest
import pytest_asyncio

from local.stack import Stack
from tests.support.catalog import describe, difference
from tests.support.permissions import (
    ARGUMENTS,
    CHANGE,
    COMMANDS,
    EMBEDS,
    FUNCTIONS,
    NEW_ROW,
    OF_THE_OWNER,
    SAMPLES,
    TABLES,
    WRITABLE,
    row_of,
)
from tests.support.tenants import ACTORS, SECRET_TEXT, Tenants, make_tenants, outcome

# One event loop for all, so that those who change nothing can share users and connections.
pytestmark = pytest.mark.asyncio(loop_scope="module")

TenantsFor = Callable[[bool], Awaitable[Tenants]]


@pytest_asyncio.fixture(loop_scope="module")
async def tenants(stack: Stack) -> AsyncIterator[Tenants]:
    """Two new users, of whom one owns a conversation with a running turn."""
    made = await make_tenants(stack)
    yield made
    await made.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def untouched(stack: Stack) -> AsyncIterator[Tenants]:
    """The users of all tests that change nothing of theirs: they read, or are refused."""
    made = await make_tenants(stack)
    yield made
    await made.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def tenants_for(stack: Stack, untouched: Tenants) -> AsyncIterator[TenantsFor]:
    """Give new users to a test that changes rows of theirs, and the shared ones to others."""
    made: list[Tenants] = []

    async def give(is_changed: bool) -> Tenants:
        if not is_changed:
            return untouched
        made.append(await make_tenants(stack))
        return made[-1]

    yield give
    for tenants in made:
        await tenants.aclose()


async def test_the_data_api_leaves_the_grants_as_the_migrations_wrote_them(
    untouched: Tenants, db: psycopg.Connection, catalog: str
) -> None:
    """After requests by everybody the catalog is still what the migrations make.

    A Data API that grants by itself makes every other test here lie.
    """
    for actor in ACTORS:
        await untouched.call(actor, "GET", "conversations?limit=1")
    assert difference(catalog, describe(db)) == ""


@pytest.mark.promise("isolation", red="`select_own` on `messages` with `using (true)`")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("table", TABLES)
async def test_a_command_on_a_table(
    tenants_for: TenantsFor, db: psycopg.Connection, table: str, actor: str, command: str
) -> None:
    """The answer is the expected one; what is refused changes nothing and shows nothing."""
    expected = TABLES[table][actor][COMMANDS.index(command)]
    is_changing = expected == "done" and command != "select"
    tenants = await tenants_for(is_changing)
    row = f"{table}?{row_of(table, tenants) if command != 'insert' else ''}"
    before = _owned(db, tenants)
    answer = await {
        "select": lambda: tenants.call(actor, "GET", row),
        "insert": lambda: tenants.call(actor, "POST", table, json=NEW_ROW[table](tenants)),
        "update": lambda: tenants.call(actor, "PATCH", row, json=CHANGE[table]),
        "delete": lambda: tenants.call(actor, "DELETE", row),
    }[command]()
    assert outcome(answer) == expected, answer.text
    assert (_owned(db, tenants) != before) == is_changing
    if expected != "done":
        assert SECRET_TEXT not in answer.text


@pytest.mark.promise("isolation")
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("function", FUNCTIONS)
async def test_a_call_of_a_function(
    tenants_for: TenantsFor, db: psycopg.Connection, function: str, actor: str
) -> None:
    """The answer is the expected one; what is refused changes nothing; nobody sees the owner's."""
    expected = FUNCTIONS[function][actor]
    writes = db.execute(
        "select from pg_proc where oid = %s::regproc and provolatile = 'v'", (f"public.{function}",)
    ).fetchone()
    tenants = await tenants_for(expected == "done" and writes is not None)
    before = _owned(db, tenants)
    answer = await tenants.rpc(actor, function, ARGUMENTS[function](tenants, tenants.id_of(actor)))
    assert outcome(answer) == expected, answer.text
    if expected != "done":
        assert _owned(db, tenants) == before
    if actor in {"anon", "other"}:
        assert _owned(db, tenants) == before
        assert SECRET_TEXT not in answer.text
        assert tenants.conversation not in answer.text


@pytest.mark.parametrize(
    "function", [name for name, row in FUNCTIONS.items() if row["other"] != "denied"]
)
async def test_nobody_calls_a_function_for_another(
    untouched: Tenants, db: psycopg.Connection, function: str
) -> None:
    """Who signs in names themselves; with another's id a call is refused, and changes nothing."""
    before = _owned(db, untouched)
    answer = await untouched.rpc(
        "other", function, ARGUMENTS[function](untouched, untouched.owner.id)
    )
    assert outcome(answer) == "forbidden", answer.text
    assert _owned(db, untouched) == before


@pytest.mark.promise("isolation")
@pytest.mark.parametrize("embed", EMBEDS)
async def test_an_embed_shows_what_a_select_shows(untouched: Tenants, embed: str) -> None:
    """The owner gets both sides, another user no row, anon a refusal, the service everything."""
    column = "id" if embed.startswith("conversations") else "conversation_id"
    query = f"{embed}&{column}=eq.{untouched.conversation}"
    answers = {actor: await untouched.call(actor, "GET", query) for actor in ACTORS}
    assert {actor: outcome(answer) for actor, answer in answers.items()} == {
        "anon": "denied", "owner": "done", "other": "none", "service": "done",
    }, {actor: answer.text for actor, answer in answers.items()}  # fmt: skip
    name = re.sub(r"!\w+|\(\*\)", "", embed.partition("select=*,")[2])
    assert all(row[name] for row in answers["owner"].json())


@pytest.mark.promise("isolation")
async def test_an_embed_does_not_lead_from_ones_own_row_into_anothers(tenants: Tenants) -> None:
    """All that another user lists with everything embedded is their own."""
    mine = (await tenants.call("other", "POST", "conversations", json={"title": "Mine"})).json()[0]
    answer = await tenants.call("other", "GET", "conversations?select=*,messages(*),turns(*)")
    assert [row["id"] for row in answer.json()] == [mine["id"]]
    assert SECRET_TEXT not in answer.text


@pytest.mark.promise("own rows")
@pytest.mark.parametrize(("table", "command"), WRITABLE)
async def test_a_user_can_write_no_column_but_those_listed(
    untouched: Tenants, db: psycopg.Connection, table: str, command: str
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
        "PATCH", f"{table}?{row_of(table, untouched)}")  # fmt: skip
    before = _owned(db, untouched)
    base = {k: v for k, v in NEW_ROW[table](untouched).items() if k in writable}
    refused = {}
    for name, kind in columns:
        if name not in writable:
            row = (base if command == "insert" else {}) | {name: SAMPLES[kind]}
            refused[name] = outcome(await untouched.call("owner", method, path, json=row))
    assert set(refused.values()) == {"denied"}, refused
    assert _owned(db, untouched) == before


@pytest.mark.parametrize("given", [{}, {"user_id": "own"}, {"metadata": {"client": "cli"}}])
async def test_a_users_own_message_is_stored_in_its_place(
    tenants: Tenants, given: dict[str, Any]
) -> None:
    """With or without user_id, the row gets the owner, the next seq and a later created_at."""
    row = {"conversation_id": tenants.conversation, "role": "user", "content": "Hi"} | given
    if "user_id" in row:
        row["user_id"] = tenants.owner.id
    stored = (await tenants.call("owner", "POST", "messages", json=row)).json()[0]
    last = (await tenants.call("owner", "GET", f"messages?id=eq.{tenants.free_message}")).json()[0]
    assert (stored["user_id"], stored["seq"]) == (tenants.owner.id, last["seq"] + 1)
    assert stored["created_at"] > last["created_at"]
    assert (stored["is_summary"], stored["turn_id"]) == (False, None)


@pytest.mark.promise("own rows", red="`role = 'user'` taken out of the insert policy")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"role": "assistant"}, "denied"),
        ({"role": "system"}, "denied"),
        ({"user_id": "other"}, "denied"),
        ({"conversation_id": "others"}, "refused"),
        ({"conversation_id": "others", "user_id": "other"}, "denied"),
        ({"conversation_id": "missing"}, "refused"),
    ],
    ids=str,
)
async def test_a_message_that_is_not_ones_own_is_refused(
    tenants: Tenants, db: psycopg.Connection, change: dict[str, str], expected: str
) -> None:
    """By the policy or by the foreign key, nothing stored, no place used up."""
    others = (await tenants.call("other", "POST", "conversations", json={"title": "T"})).json()[0]
    named = {"other": tenants.other.id, "others": others["id"], "missing": str(uuid.uuid4())}
    row = {"conversation_id": tenants.conversation, "role": "user", "content": "x"}
    row |= {column: named.get(value, value) for column, value in change.items()}
    before = _owned(db, tenants)
    answer = await tenants.call("owner", "POST", "messages", json=row)
    stored = db.execute(
        "select last_seq, (select count(*) from messages where conversation_id = c.id)"
        " from conversations as c where id = %s",
        (others["id"],),
    ).fetchone()
    assert outcome(answer) == expected, answer.text
    assert stored == (0, 0)
    assert _owned(db, tenants) == before


@pytest.mark.promise("no oracle")
async def test_anothers_conversation_and_a_missing_one_are_one_answer(tenants: Tenants) -> None:
    """Select, embed, insert, update, delete and every function say the very same of both."""
    missing = str(uuid.uuid4())
    answers = {
        place: await _everything_said_of(tenants, place)
        for place in (tenants.conversation, missing)
    }
    assert answers[tenants.conversation] == answers[missing]


@pytest.mark.promise("own rows")
async def test_an_upsert_can_not_change_a_message(tenants: Tenants, db: psycopg.Connection) -> None:
    """Neither merging nor ignoring duplicates gives a client or the service a way in."""
    before = _owned(db, tenants)
    row = NEW_ROW["messages"](tenants) | {"id": tenants.message, "content": "Changed"}
    for actor in ("anon", "owner", "other", "service"):
        answer = await tenants.call(
            actor, "POST", "messages", json=row, prefer="resolution=merge-duplicates"
        )
        assert outcome(answer) == "denied", (actor, answer.text)
    assert _owned(db, tenants) == before


@pytest.mark.parametrize(
    "schema", ["auth", "private", "realtime", "search", "supabase_migrations", "pg_catalog"]
)
async def test_no_schema_but_public_is_served(untouched: Tenants, schema: str) -> None:
    """Asking for another schema by header shows a user nothing of it."""
    tables = {
        "auth": "users",
        "private": "import_parts",
        "realtime": "messages",
        "search": "documents",
        "supabase_migrations": "schema_migrations",
    }
    headers = untouched.headers["owner"] | {"accept-profile": schema}
    answer = await untouched.http.get(
        f"/rest/v1/{tables.get(schema, 'pg_authid')}?select=*", headers=headers
    )
    assert answer.is_client_error or all("seq" in row for row in answer.json()), answer.text


async def _everything_said_of(tenants: Tenants, conversation: str) -> list[tuple[int, str]]:
    """Return status and body of each call that another user can make with a conversation's id."""
    row = {"conversation_id": conversation, "role": "user", "content": "x"}
    own = {"user_id": tenants.other.id}
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"conversations?id=eq.{conversation}", None),
        ("GET", f"conversations?id=eq.{conversation}&select=*,messages(*)", None),
        ("GET", f"messages?conversation_id=eq.{conversation}", None),
        ("GET", f"turns?conversation_id=eq.{conversation}", None),
        ("POST", "messages", row),
        ("POST", "messages", row | {"user_id": tenants.owner.id}),
        ("POST", "messages", row | {"role": "assistant"}),
        ("PATCH", f"conversations?id=eq.{conversation}", {"title": "x"}),
        ("DELETE", f"conversations?id=eq.{conversation}", None),
        *(
            ("POST", f"rpc/{function}", {"conversation_id": conversation} | own)
            for function, row in FUNCTIONS.items()
            if row is OF_THE_OWNER
        ),
    ]
    answers = [await tenants.call("other", method, path, json=body) for method, path, body in calls]
    return [(answer.status_code, answer.text) for answer in answers]


def _owned(db: psycopg.Connection, tenants: Tenants) -> list[tuple[Any, ...]]:
    """Return every row of the owner's, in every table."""
    return [
        row
        for table in TABLES
        for row in db.execute(
            psycopg.sql.SQL(
                "select {name}, to_jsonb(t)::text from public.{table} as t"
                " where user_id = %s order by 2"
            ).format(name=table, table=psycopg.sql.Identifier(table)),
            (tenants.owner.id,),
        ).fetchall()
    ]
