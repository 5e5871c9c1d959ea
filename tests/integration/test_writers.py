"""Many writers of every kind in one conversation at once: the order is total and has no gap."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.sql_calls import assert_whole, make_conversation
from tests.support.users import User

WRITERS_OF_A_KIND = 8
INSERTS = 3
PATIENCE_SECONDS = 120
BREATH_SECONDS = 0.05


@pytest.mark.promise("gapless order", red="`seq` read and written without the lock")
async def test_24_writers_of_three_kinds_make_one_order_without_a_gap(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """8 over mega-mind, 8 direct inserts by supabase-py, 8 services: 1..n, in order of time."""
    conversation = make_conversation(db, user.id)
    client = await user.supabase()

    async def send(number: int) -> None:
        key = uuid.uuid4().hex
        answer = await _until_free(
            lambda: user.send(f"http {number}", key=key, conversationId=conversation)
        )
        assert answer.status_code == 200, answer.text

    async def insert(number: int) -> None:
        for count in range(INSERTS):
            row = {"conversation_id": conversation, "role": "user", "content": f"{number} {count}"}
            await client.table("messages").insert(row).execute()

    environment = stack.settings.environment()
    async with httpx.AsyncClient(
        base_url=f"{environment['SUPABASE_URL']}/rest/v1/rpc",
        headers={"apikey": environment["SUPABASE_SECRET_KEY"]},
        timeout=60,
    ) as service:

        async def serve(number: int) -> None:
            await _serve_one_turn(service, user_id=user.id, conversation=conversation)

        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(
                *(kind(n) for n in range(WRITERS_OF_A_KIND) for kind in (send, insert, serve))
            )
    await client.auth.sign_out()
    turns, inserts = 2 * WRITERS_OF_A_KIND, WRITERS_OF_A_KIND * INSERTS
    assert assert_whole(db, conversation) == 2 * turns + inserts
    assert _roles(db, conversation) == {"assistant": turns, "user": turns + inserts}
    assert _turns_whose_reply_comes_first(db, conversation) == 0


async def _serve_one_turn(service: httpx.AsyncClient, *, user_id: str, conversation: str) -> None:
    """Begin a turn as the backend does, again while another one runs, and complete it."""
    arguments = {
        "user_id": user_id,
        "conversation_id": conversation,
        "idempotency_key": uuid.uuid4().hex,
        "request_hash": "hash",
        "request": "service",
    }
    while True:
        fresh = arguments | {"message_id": str(uuid.uuid4())}
        begun = (await service.post("/begin_turn", json=fresh)).json()
        if begun["outcome"] == "started":
            break
        await asyncio.sleep(BREATH_SECONDS)
    done = await service.post(
        "/complete_turn",
        json={
            "turn_id": begun["turn"]["id"],
            "attempt": begun["turn"]["attempt"],
            "message_id": str(uuid.uuid4()),
            "status": "completed",
            "content": "Reply.",
        },
    )
    assert done.json()["outcome"] == "completed"


async def _until_free(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Send until the answer isn't 409: another turn of the conversation was running."""
    while (answer := await send()).status_code == 409:
        assert "retry-after" in answer.headers
        await asyncio.sleep(BREATH_SECONDS)
    return answer


def _roles(db: psycopg.Connection, conversation: str) -> dict[str, int]:
    rows = db.execute(
        "select role, count(*) from messages where conversation_id = %s group by role",
        (conversation,),
    ).fetchall()
    return dict(rows)


def _turns_whose_reply_comes_first(db: psycopg.Connection, conversation: str) -> int:
    row = db.execute(
        "select count(*) from turns as t"
        " join messages as u on u.turn_id = t.id and u.role = 'user'"
        " left join messages as r on r.turn_id = t.id and r.role = 'assistant'"
        " where t.conversation_id = %s and not coalesce(r.seq > u.seq, false)",
        (conversation,),
    ).fetchone()
    assert row is not None
    count: int = row[0]
    return count
