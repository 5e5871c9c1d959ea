"""A gateway that cuts calls: nothing takes that long, and what is said to be deleted is gone.

Small here; `make test-steps` runs it with the sizes that took minutes in one call.
"""

import os
import uuid
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.conversations.sweeps import sweep_removals
from shared.integrity.examination import check_everything
from tests.support.bundle import bundle, container_of, settings_for
from tests.support.proxy import Proxy, cut_after
from tests.support.sql_calls import make_conversation
from tests.support.users import User
from tests.support.waiting import until

MESSAGES = int(os.environ.get("STEPS_MESSAGES", "3000"))
SECONDS = 30.0  # as Envoy's on /rest/v1
TABLES = ("conversations", "messages", "turns", "summaries", "search.documents")

pytestmark = pytest.mark.timeout(180 + MESSAGES // 100)


@pytest.fixture
def cut(proxy: Proxy) -> list[str]:
    """The paths of calls that the gateway has cut."""
    paths: list[str] = []
    proxy.on_everything(cut_after(SECONDS, paths))
    return paths


def fill(db: psycopg.Connection, user: User, messages: int) -> str:
    """Make a conversation of turns with requests and replies, each with its words."""
    conversation = make_conversation(db, user.id)
    named = {"user": user.id, "chat": conversation, "turns": messages // 2}
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        db.execute(
            "insert into turns (conversation_id, user_id, idempotency_key, request_hash, status,"
            " lease_expires_at, finished_at)"
            " select %(chat)s, %(user)s, gen_random_uuid(), 'x', 'completed', now(), now()"
            " from generate_series(1, %(turns)s)",
            named,
        )
        db.execute(
            "insert into messages"
            " (conversation_id, user_id, role, content, seq, created_at, turn_id)"
            " select %(chat)s, %(user)s, r.role, 'Message of a turn.', 2 * t.n - 1 + r.n,"
            " now() + (2 * t.n + r.n) * interval '1 microsecond', t.id"
            " from (select id, row_number() over () as n from turns"
            "       where conversation_id = %(chat)s) as t"
            " cross join (values ('user', 0), ('assistant', 1)) as r (role, n)",
            named,
        )
        db.execute(
            "insert into search.documents"
            " select id, 1, user_id, conversation_id, role, created_at,"
            " to_tsvector('simple', content) from messages where conversation_id = %(chat)s",
            named,
        )
        db.execute(
            "update conversations set last_seq = %s, updated_at = now() + interval '1 minute'"
            " where id = %s",
            (2 * (messages // 2), conversation),
        )
    return conversation


def left_of(db: psycopg.Connection, user: User) -> list[int]:
    """Return how many rows of a user's each table has."""
    counts = []
    for table in TABLES:
        query = f"select count(*) from {table} where user_id = %s"
        row = db.execute(query.encode(), (user.id,)).fetchone()
        assert row is not None
        counts.append(row[0])
    return counts


@pytest.mark.promise("bounded calls", red="all of it in one call")
async def test_a_long_conversation_is_gone_at_once_and_then_removed(
    stack: Stack, db: psycopg.Connection, user: User, proxy: Proxy, cut: list[str]
) -> None:
    """From the answer on nobody sees it, over the Data API neither; the sweep removes its rows."""
    chat = fill(db, user, max(MESSAGES, 3000))
    key = stack.settings.environment()["SUPABASE_PUBLISHABLE_KEY"]
    own = {"apikey": key, "authorization": f"Bearer {user.token}"}
    async with (
        bundle(settings_for(stack, supabase_url=proxy.url), token=user.token) as client,
        httpx.AsyncClient(base_url=proxy.url, headers=own, timeout=60) as http,
    ):
        deleted = await client.delete(f"/conversations/{chat}")
        loaded = await client.get("/load-conversation", params={"conversationId": chat})
        turn = await client.post("/mega-mind", json={"request": "x", "conversationId": chat})
        rows = [
            (await http.get(f"/rest/v1/{table}?select=*&user_id=eq.{user.id}")).json()
            for table in ("conversations", "messages", "turns")
        ]
        assert (deleted.status_code, deleted.json()) == (200, {"deleted": chat, "more": True})
        assert (loaded.status_code, turn.status_code) == (404, 404)
        assert rows == [[], [], []]
        assert left_of(db, user)[1] > 0
        while any(left_of(db, user)):
            await sweep_removals(container_of(client).persistence)
        again = await client.delete(f"/conversations/{chat}")
    assert again.status_code == 404
    assert cut == []


@pytest.mark.promise("bounded calls", red="all of it in one call")
async def test_an_account_is_erased_under_one_key(
    stack: Stack, db: psycopg.Connection, user: User, proxy: Proxy, cut: list[str]
) -> None:
    """Many conversations, a long one and one that is held: the receipt counts exactly."""
    many = MESSAGES // 10
    fill(db, user, max(MESSAGES, 3000))
    held = fill(db, user, 2)
    db.execute(
        "insert into conversations (user_id) select %s from generate_series(1, %s)",
        (user.id, many),
    )
    db.execute("select place_legal_hold(%s, 'case', %s)", (user.id, held))
    before = left_of(db, user)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    settings = settings_for(stack, supabase_url=proxy.url)
    async with bundle(settings, token=user.token) as client:
        answers: list[dict[str, Any]] = []
        while not answers or answers[-1]["remaining"]:
            answer = await client.post("/erase-account", json={"confirm": "erase"}, headers=key)
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
        await until(lambda: left_of(db, user) == [1, 2, 1, 0, 2])
    receipt = answers[-1]
    assert [answer["erasedAt"] is None for answer in answers[:-1]] == [True] * (len(answers) - 1)
    assert receipt["erasedAt"] is not None
    assert receipt["held"] == 1
    removed = [receipt["removed"][name] for name in ("conversations", "messages", "turns")]
    assert removed == [before[0] - 1, before[1] - 2, before[2] - 1]
    assert cut == []


@pytest.mark.promise("bounded calls", red="all of it in one call")
async def test_a_check_of_everything_ends(
    stack: Stack, db: psycopg.Connection, user: User, proxy: Proxy, cut: list[str]
) -> None:
    """A long conversation is looked at page by page, and found whole."""
    chat = fill(db, user, max(MESSAGES, 45_000))
    db.execute("analyze")  # as a server does by itself a minute after so many rows came
    said: list[str] = []
    async with bundle(settings_for(stack, supabase_url=proxy.url), token=user.token) as client:
        store = container_of(client).persistence
        found = await check_everything(store, grace_seconds=1_000_000, say=said.append)
        await store.erase_account(uuid.UUID(user.id), idempotency_key="k", requested_by="user")
    assert not any(uuid.UUID(chat) in ids for ids in found.broken.values())
    assert cut == []
