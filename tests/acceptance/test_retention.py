"""Retention, legal holds and erasure over HTTP, each by whom it is for and by everybody else."""

import asyncio
import json
import uuid
from functools import partial
from typing import Any

import httpx
import psycopg
import psycopg.sql
import pytest

from functions.app import app
from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.engines import TypingEngine
from tests.support.users import User, functions_client, sign_up

CONFIRMED = {"confirm": "erase"}


async def start(user: User, request: str = "Hello", **body: Any) -> str:
    """Send a message and return its conversation."""
    conversation: str = (await user.send(request, **body)).json()["conversationId"]
    return conversation


def forget(db: psycopg.Connection, conversation: str, days: int) -> None:
    """Let nobody have written to a conversation for so many days."""
    db.execute(
        "update conversations set updated_at = now() - %s * interval '1 day' where id = %s",
        (days, conversation),
    )


def places_of(db: psycopg.Connection, canary: str) -> list[str]:
    """Return each table in which any column of any row has this text."""
    tables = db.execute(
        "select format('%I.%I', n.nspname, c.relname) from pg_class as c"
        " join pg_namespace as n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p', 'm')"
        " and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'auth')"
    ).fetchall()
    found = []
    for (table,) in tables:
        query = f"select exists (select from {table} as t where strpos(t::text, %s) > 0)"
        row = db.execute(query.encode(), (canary,)).fetchone()
        if row == (True,):
            found.append(table)
    return sorted(found)


def summarise(db: psycopg.Connection, user: User, conversation: str, content: str) -> None:
    """Write a summary of a conversation's first two messages."""
    db.execute(
        "select write_summary(%s, %s, gen_random_uuid(), 2, %s)", (user.id, conversation, content)
    )


def begin_import(db: psycopg.Connection, user: User, content: str) -> str:
    """Import the first message of a conversation of two; return the import's id."""
    import_id = str(uuid.uuid4())
    at = "2026-01-01T00:00:00Z"
    piece = {
        "place": 0,
        "first": 1,
        "is_last": False,
        "conversation": {"title": "T", "metadata": "{}", "last_seq": 2, "created_at": at,
                         "updated_at": at, "imported": {"source": "list", "id": import_id}},
        "messages": [{"role": "user", "content": content, "metadata": "{}", "created_at": at}],
    }  # fmt: skip
    db.execute("select take_import_part(%s, %s, 0, %s)", (user.id, import_id, json.dumps([piece])))
    return import_id


def ids_of(db: psycopg.Connection, user: User) -> list[str]:
    """Return the ids of a user's conversations, messages, turns and imports."""
    rows = db.execute(
        "select id::text from conversations where user_id = %(id)s"
        " union select id::text from messages where user_id = %(id)s"
        " union select id::text from turns where user_id = %(id)s"
        " union select import_id::text from private.import_parts where user_id = %(id)s",
        {"id": user.id},
    ).fetchall()
    return [row_id for (row_id,) in rows]


async def test_policies_are_set_listed_and_removed(user: User, service: httpx.AsyncClient) -> None:
    """One for each scope; a second one takes its place."""
    for days in (30, 60):
        put = await service.put(
            "/retention-policies", json={"userId": user.id, "deleteAfterDays": days}
        )
    policy = put.json()["policy"]
    listed = await service.get("/retention-policies", params={"userId": user.id})
    removed = [await service.delete(f"/retention-policies/{policy['id']}") for _ in range(2)]
    assert [row["delete_after_days"] for row in listed.json()["policies"]] == [60]
    assert [answer.status_code for answer in removed] == [200, 404]
    assert removed[1].json()["code"] == "retention_policy_not_found"


@pytest.mark.promise("legal holds")
async def test_a_hold_wins_on_each_path(
    stack: Stack, db: psycopg.Connection, user: User, service: httpx.AsyncClient
) -> None:
    """The owner's delete over both roads, the service's, retention, erasure, the account's end."""
    held = await start(user)
    forget(db, held, 99)
    mine = {"userId": user.id}
    hold = await service.post(
        "/legal-holds", json={"conversationId": held, "reason": "case 7", **mine}
    )
    await service.put("/retention-policies", json={"userId": user.id, "deleteAfterDays": 1})
    environment = stack.settings.environment()
    secret = {"apikey": environment["SUPABASE_SECRET_KEY"]}
    own = {
        "apikey": environment["SUPABASE_PUBLISHABLE_KEY"],
        "authorization": f"Bearer {user.token}",
    }
    path = f"/conversations/{held}"
    async with httpx.AsyncClient(base_url=environment["SUPABASE_URL"], timeout=60) as http:
        refused = [
            await user.functions.delete(path),
            await service.delete(path, params=mine),
            await http.delete(f"/rest/v1/conversations?id=eq.{held}", headers=own),
            await http.delete(f"/rest/v1/conversations?id=eq.{held}", headers=secret),
        ]
    with pytest.raises(psycopg.Error, match="legal hold"):
        db.execute("delete from auth.users where id = %s", (user.id,))
    retained = (
        await service.post("/apply-retention", json={"userId": user.id, "dryRun": False})
    ).json()
    erased = (await user.functions.post("/erase-account", json=CONFIRMED)).json()
    assert [answer.status_code for answer in refused] == [409] * 4
    assert [answer.json()["code"] for answer in refused[:2]] == ["legal_hold"] * 2
    assert retained["deleted"]["conversations"] == 0
    assert (erased["removed"]["conversations"], erased["held"]) == (0, 1)
    assert len((await user.load(held)).json()["messages"]) == 2

    hold_id = hold.json()["hold"]["id"]
    released = await service.delete(f"/legal-holds/{hold_id}", params=mine)
    assert (hold.status_code, released.json()["hold"]["released_at"] is None) == (201, False)
    assert (await user.functions.delete(path)).status_code == 200


@pytest.mark.promise("erasure", red="`erase_account` leaves `import_parts`")
async def test_after_an_erasure_nothing_of_the_content_is_anywhere(
    db: psycopg.Connection, user: User, other_user: User, service: httpx.AsyncClient
) -> None:
    """No row of any table has a word of it, live events included; another's is untouched."""
    canary, others = f"canary{uuid.uuid4().hex}", f"canary{uuid.uuid4().hex}"
    conversation = await start(user, f"Say {canary}", metadata={"note": canary}, projectId=None)
    await user.functions.patch(f"/conversations/{conversation}", json={"title": canary})
    await user.functions.post("/conversations", json={"metadata": {"note": canary}})
    imported = await user.functions.post(
        "/import-conversation", json=[{"role": "assistant", "content": f"{canary} one"},
                                      {"role": "user", "content": f"{canary} two"}]
    )  # fmt: skip
    summarise(db, user, conversation, f"{canary} was said")
    begin_import(db, user, canary)
    await start(other_user, others)
    await start(other_user, "Another")
    for indexed in (user, other_user):
        db.execute("select public.index_messages(user_id => %s)", (indexed.id,))
    before = places_of(db, canary)
    ids = ids_of(db, user)
    answers = [
        await user.functions.post(
            "/erase-account", json=CONFIRMED, headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    later = (await user.functions.post("/erase-account", json=CONFIRMED)).json()
    receipt = answers[0].json()
    assert imported.json()["skipped"] == []
    assert {
        "public.conversations", "public.messages", "realtime.messages", "search.documents",
    } <= set(before)  # fmt: skip
    assert places_of(db, canary) == []
    left = {place for row_id in ids for place in places_of(db, row_id)}
    assert left == {"private.turn_usage"}  # the turn's, beside when it began and what it took
    assert {"public.messages", "search.documents"} <= set(places_of(db, others))
    assert receipt["removed"] == {
        # What was still being imported counts by its parts.
        "conversations": 3, "messages": 5, "turns": 1, "summaries": 1, "importParts": 2,
    }  # fmt: skip
    assert (receipt["userId"], receipt["remaining"], receipt["held"]) == (user.id, 0, 0)
    assert answers[1].json() == receipt
    assert set(later["removed"].values()) == {0}
    assert (await user.load(conversation)).status_code == 404
    assert (await user.functions.get("/conversations")).json()["conversations"] == []


@pytest.mark.promise("erasure")
async def test_a_turn_that_runs_during_an_erasure_writes_nothing_back(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Its worker ends, its caller learns it, and neither its draft nor its reply is stored."""
    canary = f"canary{uuid.uuid4().hex}"
    engine = TypingEngine([f"{canary} ", "and more"])
    settings = settings_for(stack, heartbeat_seconds=0.05)
    async with bundle(settings, token=user.token, engine=engine) as client:
        sent = asyncio.create_task(client.post("/mega-mind", json={"request": canary}))
        engine.allow()
        async with asyncio.timeout(60):
            while "public.turns" not in places_of(db, canary):  # noqa: ASYNC110 - the store has no event
                await asyncio.sleep(0.05)
        erased = await client.post("/erase-account", json=CONFIRMED)
        engine.allow(2)
        answer = await sent
    assert erased.json()["removed"] == {
        "conversations": 1, "messages": 1, "turns": 1, "summaries": 0, "importParts": 0,
    }  # fmt: skip
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] in {"conversation_not_found", "turn_not_found"}
    assert places_of(db, canary) == []


async def test_the_service_erases_a_user_also_after_their_account_is_gone(
    stack: Stack, db: psycopg.Connection, service: httpx.AsyncClient
) -> None:
    """The end of an account takes everything; the receipt that comes later says so and stays."""
    canary = f"canary{uuid.uuid4().hex}"
    user = await sign_up(stack)
    await start(user, canary)
    erase = {**CONFIRMED, "userId": user.id}
    db.execute("delete from auth.users where id = %s", (user.id,))
    left = places_of(db, canary)
    receipt = (await service.post("/erase-account", json=erase)).json()
    kept = db.execute(
        "select requested_by, conversations from private.erasure_receipts where user_id = %s",
        (user.id,),
    ).fetchall()
    await user.functions.aclose()
    assert left == []
    assert receipt["removed"]["conversations"] == 0
    assert kept == [("service", 0)]


async def test_nobody_erases_another(
    stack: Stack, user: User, other_user: User, service: httpx.AsyncClient
) -> None:
    """Nor without saying that it is meant; the service says whom."""
    conversation = await start(user)
    named = {**CONFIRMED, "userId": user.id}
    async with functions_client(stack.settings.url) as stranger:
        refused = [
            await other_user.functions.post("/erase-account", json=named),
            await stranger.post("/erase-account", json=named),
            await service.post("/erase-account", json=CONFIRMED),
            await user.functions.post("/erase-account", json={}),
            await user.functions.post("/erase-account", json={"confirm": "yes"}),
        ]
    assert [answer.status_code for answer in refused] == [403, 401, 400, 400, 400]
    await other_user.functions.post("/erase-account", json=CONFIRMED)
    assert (await user.load(conversation)).status_code == 200
    assert (await service.post("/erase-account", json=named)).json()["removed"]["turns"] == 1


SOME = str(uuid.uuid4())
BACKEND: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/apply-retention", {"json": {"dryRun": True}}),
    ("POST", "/sweep-turns", {}),
    ("GET", "/retention-policies", {}),
    ("PUT", "/retention-policies", {"json": {"deleteAfterDays": 1}}),
    ("DELETE", f"/retention-policies/{SOME}", {}),
    ("GET", "/legal-holds", {}),
    ("POST", "/legal-holds", {"json": {"userId": SOME, "reason": "x"}}),
    ("DELETE", f"/legal-holds/{SOME}", {}),
]


async def test_retention_is_the_services_alone(stack: Stack, user: User) -> None:
    """A user is refused each of its operations, a stranger too."""
    async with functions_client(stack.settings.url) as stranger:
        for method, path, parts in BACKEND:
            answers = [
                await client.request(method, path, **parts) for client in (user.functions, stranger)
            ]
            assert [answer.status_code for answer in answers] == [403, 401], (method, path)


REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("PUT", "/retention-policies", {"deleteAfterDays": 0}, 400),
    ("PUT", "/retention-policies", {"deleteAfterDays": "9"}, 400),
    ("PUT", "/retention-policies", {"archiveAfterDays": 9, "deleteAfterDays": 8}, 400),
    ("PUT", "/retention-policies", {"userId": SOME, "projectId": SOME}, 400),
    ("PUT", "/retention-policies", {"userId": SOME, "deleteAfterDays": 9}, 404),
    ("POST", "/legal-holds", {"reason": "x"}, 400),
    ("POST", "/legal-holds", {"userId": SOME, "reason": " "}, 400),
    ("POST", "/legal-holds", {"userId": SOME, "reason": "x" * 501}, 400),
    ("POST", "/legal-holds", {"userId": SOME, "reason": "x"}, 404),
    ("POST", "/legal-holds", {"userId": SOME, "conversationId": SOME, "reason": "x"}, 404),
    ("POST", "/apply-retention", {"dryRun": "no"}, 400),
    ("POST", "/apply-retention", {"most": 0}, 400),
    ("POST", "/apply-retention", {"most": 5001}, 400),
]


async def test_what_makes_no_sense_is_refused(service: httpx.AsyncClient) -> None:
    """In the usual shape."""
    for method, path, body, status in REFUSED:
        answer = await service.request(method, path, json=body)
        assert answer.status_code == status, (body, answer.text)
        assert set(answer.json()) == {"code", "message", "details", "hint"}
    gone = await service.delete(f"/legal-holds/{SOME}", params={"userId": SOME})
    assert (gone.status_code, gone.json()["code"]) == (404, "legal_hold_not_found")


async def test_the_documents_examples_run(user: User, service: httpx.AsyncClient) -> None:
    """As they stand on the page, bounded to one user."""
    schemas = app.openapi()["components"]["schemas"]
    mine = {"userId": user.id}
    held = partial(service.get, "/legal-holds", params=mine)
    answers = [
        await service.put(
            "/retention-policies", json=schemas["SetRetentionPolicyRequest"]["example"] | mine
        ),
        await service.post(
            "/apply-retention", json=schemas["ApplyRetentionRequest"]["example"] | mine
        ),
        await service.post("/legal-holds", json=schemas["PlaceLegalHoldRequest"]["example"] | mine),
        await service.delete(
            f"/legal-holds/{(await held()).json()['holds'][0]['id']}", params=mine
        ),
        await user.functions.post("/erase-account", json=schemas["EraseAccountRequest"]["example"]),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200, 200, 201, 200, 200]
