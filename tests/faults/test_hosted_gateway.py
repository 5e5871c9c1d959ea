"""The whole bundle behind a gateway like hosted's: its keys, its time, its pool of ten.

`HOSTED_MESSAGES` is how long the conversations are that are imported, deleted and erased.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from supabase import acreate_client

from local.stack import Stack
from shared.encoding.canonical import canonical
from tests.support.bundle import bundle, settings_for
from tests.support.hosted_gateway import HostedGateway, hosted_gateway
from tests.support.importing import JSON
from tests.support.process import functions_process
from tests.support.sql_calls import make_conversation
from tests.support.users import User, make_user

MESSAGES = int(os.environ.get("HOSTED_MESSAGES", "2100"))
TALKERS = 12
TURNS = 3
CUT_SECONDS = 30.0  # Envoy's; hosted's own gateway gives 60
COME_AGAIN = {202, 429, 503}

pytestmark = pytest.mark.timeout(180 + MESSAGES // 50)


class Visitor:
    """One user of the bundle, who comes again with the same key where that is the answer."""

    def __init__(self, client: httpx.AsyncClient, user: User) -> None:
        self._client = client
        self.user = user

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until there is an answer that is final, and return that."""
        headers = {"idempotency-key": uuid.uuid4().hex, **options.pop("headers", {})}
        while True:
            answer = await self._client.request(method, path, headers=headers, **options)
            if answer.status_code not in COME_AGAIN:
                assert answer.status_code == 200, answer.text
                return answer
            await asyncio.sleep(float(answer.headers["retry-after"]))

    async def talk(self) -> None:
        """Have some turns in one conversation, and load it after each."""
        chat: dict[str, str] = {}
        for number in range(TURNS):
            turn = await self.ask("POST", "/mega-mind", json={"request": f"Turn {number}", **chat})
            chat = {"conversationId": turn.json()["conversationId"]}
            loaded = (await self.ask("GET", "/load-conversation", params=chat)).json()
            assert len(loaded["messages"]) == 2 * (number + 1)

    async def bring(self, title: str) -> str:
        """Import a long conversation, and return its id."""
        messages = [{"role": "user", "content": f"{title} {n}"} for n in range(MESSAGES)]
        file = canonical({"title": title, "messages": messages}).encode()
        answer = await self.ask("POST", "/import-conversation", content=file, headers=JSON)
        report = answer.json()
        assert (report["messages"], report["skipped"]) == (MESSAGES, [])
        return str(report["taken"][0]["conversationId"])

    async def export(self) -> None:
        """Take everything out."""
        answer = await self.ask("GET", "/export-account")
        assert answer.content.startswith(b"PK")

    async def delete(self, chat: str) -> None:
        """Delete a conversation, until nothing of it is left."""
        while (await self.ask("DELETE", f"/conversations/{chat}")).json()["more"]:
            pass

    async def erase(self) -> None:
        """Erase everything, until the receipt is finished."""
        key = {"idempotency-key": uuid.uuid4().hex}
        body = {"confirm": "erase"}
        while not (await self.ask("POST", "/erase-account", json=body, headers=key)).json()[
            "erasedAt"
        ]:
            pass


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[HostedGateway]:
    """A gateway that gives each call thirty seconds."""
    async with hosted_gateway(stack, cut_seconds=CUT_SECONDS) as running:
        yield running


@pytest.fixture
async def visitors(
    stack: Stack, tmp_path: Path, gateway: HostedGateway
) -> AsyncIterator[list[Visitor]]:
    """Users of one process behind it, which knows no other way to the stack."""
    async with functions_process(stack, tmp_path, SUPABASE_URL=gateway.url) as server:
        users = [await make_user(stack) for _ in range(TALKERS + 4)]
        clients = [server.client(user.token) for user in users]
        yield [Visitor(client, user) for client, user in zip(clients, users, strict=True)]
        for client in clients:
            await client.aclose()


def counts_of(db: psycopg.Connection, user: User) -> tuple[int, int, int]:
    """Return how many conversations, messages and turns are stored of a user."""
    row = db.execute(
        "select (select count(*) from conversations where user_id = %(user)s),"
        " (select count(*) from messages where user_id = %(user)s),"
        " (select count(*) from turns where user_id = %(user)s)",
        {"user": user.id},
    ).fetchone()
    assert row is not None
    return row


@pytest.mark.promise("bounded calls", red="forty calls at once; all of a removal in one call")
async def test_all_at_once_stays_within_the_pool_and_no_call_fails(
    visitors: list[Visitor], gateway: HostedGateway, db: psycopg.Connection
) -> None:
    """Turns of many users, while a long conversation is brought, one deleted, one erased."""
    *talkers, bringer, deleter, eraser, exporter = visitors
    chat, *_ = await asyncio.gather(
        deleter.bring("Deleted"), eraser.bring("Erased"), exporter.bring("Exported")
    )
    await asyncio.gather(
        *(talker.talk() for talker in talkers),
        bringer.bring("Brought"),
        deleter.delete(chat),
        eraser.erase(),
        exporter.export(),
    )
    await gateway.settle()
    assert gateway.failed == []
    assert 2 < gateway.most_at_once <= gateway.connections
    assert {counts_of(db, talker.user) for talker in talkers} == {(1, 2 * TURNS, TURNS)}
    assert counts_of(db, bringer.user) == counts_of(db, exporter.user) == (1, MESSAGES, 0)
    assert counts_of(db, deleter.user) == counts_of(db, eraser.user) == (0, 0, 0)


@pytest.mark.parametrize(
    ("pool_wait_seconds", "store_timeout"),
    [pytest.param(0.1, 8, id="refused"), pytest.param(60, 2, id="given up")],
)
async def test_a_pool_without_a_place_is_a_503_that_the_same_key_heals(
    stack: Stack,
    user: User,
    db: psycopg.Connection,
    pool_wait_seconds: float,
    store_timeout: float,
) -> None:
    """Others of the project hold all ten: of a call that is refused, and of one that goes on later.

    Whatever became of it, the retry is one turn with it.
    """
    key = {"idempotency-key": uuid.uuid4().hex}
    hello: dict[str, Any] = {"json": {"request": "Hello"}, "headers": key}
    async with hosted_gateway(stack, pool_wait_seconds=pool_wait_seconds) as gateway:
        settings = settings_for(stack, supabase_url=gateway.url, store_timeout=store_timeout)
        async with bundle(settings, token=user.token) as client:
            for _ in range(gateway.connections):
                await gateway.pool.acquire()
            refused = await client.post("/mega-mind", **hello)
            before = counts_of(db, user)
            for _ in range(gateway.connections):
                gateway.pool.release()
            await Visitor(client, user).ask("POST", "/mega-mind", **hello)
        await gateway.settle()
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert before == (0, 0, 0)
    assert counts_of(db, user) == (1, 2, 1)


async def test_negative_control_what_is_cut_goes_on(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """A statement that waits for a lock is answered 504, holds its place, and commits later."""
    chat = make_conversation(db, user.id)
    headers = {
        "apikey": user.environment["SUPABASE_PUBLISHABLE_KEY"],
        "authorization": f"Bearer {user.token}",
    }
    async with (
        hosted_gateway(stack, cut_seconds=0.2, connections=1, pool_wait_seconds=0.1) as gateway,
        httpx.AsyncClient(base_url=gateway.url, headers=headers) as http,
        await psycopg.AsyncConnection.connect(stack.settings.db_url) as holding,
    ):
        await holding.execute("select 1 from conversations where id = %s for update", (chat,))
        query = f"/rest/v1/conversations?id=eq.{chat}"
        cut = await http.patch(query, json={"title": "Later"})
        behind = await http.get(query)
        await holding.rollback()
        await gateway.settle()
        row = (await http.get(query)).json()[0]
    assert (cut.status_code, behind.status_code) == (504, 504)
    assert behind.json()["code"] == "PGRST003"
    assert row["title"] == "Later"


async def test_an_opaque_key_is_its_role_and_never_a_bearer(
    stack: Stack, user: User, gateway: HostedGateway
) -> None:
    """supabase-py's own way to send keys, a user's token beside one, no key, and a wrong one."""
    keys = stack.settings.keys
    service = await acreate_client(gateway.url, keys.secret)
    await service.table("conversations").select("id").limit(1).execute()
    own = {"apikey": keys.publishable, "authorization": f"Bearer {user.token}"}
    as_service = {"apikey": keys.secret}
    shown: list[dict[str, str]] = [
        as_service,
        own,
        {"apikey": keys.publishable},
        {"apikey": "sb_secret_wrong"},
        {},
    ]
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        path = "/rest/v1/conversations?select=id&limit=1"
        answers = [(await http.get(path, headers=headers)).status_code for headers in shown]
    assert answers == [200, 200, 401, 401, 401]
    assert gateway.shown == {"key", "token", "none"}
