"""The database is killed and comes back: the server stays up, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from tests.integration.realtime_stack import SECRET_KEY, Stack, User, token_for

if TYPE_CHECKING:
    from collections.abc import Iterator


pytest_plugins = ["tests.integration.realtime_plugin"]

OLD_ROW = """
insert into realtime.messages (topic, extension, inserted_at)
values (%s, 'broadcast', timezone('utc', now()) - %s::interval)
"""


@pytest.fixture
def fragile_stack() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


async def test_the_server_outlives_its_database(fragile_stack: Stack, user: User) -> None:
    """Sockets and public topics go on, private joins are refused for now, and all comes back."""
    stack = fragile_stack
    async with stack.client() as member, stack.client() as newcomer:
        await member.join("public", broadcast={"self": True})
        await member.join(user.open_topic, token=user.token, private=True)
        stack.postgres.kill()
        stack.wait_for_health(503)
        await member.broadcast("public", "still", {})
        assert (await member.next_broadcast())["event"] == "still"
        reply = await newcomer.join(user.open_topic, token=user.token, private=True)
        assert reply["response"]["reason"].startswith("InitializingProjectConnection: ")
        stack.postgres.start()
        stack.wait_for_health(200)
        reply = await newcomer.join(user.open_topic, token=user.token, private=True)
        assert reply["status"] == "ok"
        stack.postgres.execute(f"select realtime.send('{{}}', 'back', '{user.open_topic}')")
        assert (await newcomer.next_broadcast())["event"] == "back"
        assert (await member.next_broadcast())["event"] == "back"


async def test_what_needs_the_database_fails_softly(fragile_stack: Stack, user: User) -> None:
    """Without a database a new token means joining again, and a private post a 503."""
    stack = fragile_stack
    async with stack.client() as member:
        await member.join(user.open_topic, token=user.token, private=True)
        stack.postgres.kill()
        stack.wait_for_health(503)
        fresh = {"access_token": token_for(user.id, seconds=900)}
        await member.send(f"realtime:{user.open_topic}", "access_token", fresh)
        assert (await member.next_event("phx_error"))["topic"] == f"realtime:{user.open_topic}"
    message = {"topic": user.open_topic, "event": "e", "payload": {}, "private": True}
    async with httpx.AsyncClient(headers={"apikey": SECRET_KEY}) as client:
        response = await client.post(f"{stack.url}/api/broadcast", json={"messages": [message]})
    assert response.status_code == 503


def test_a_new_session_prunes_what_is_old(fragile_stack: Stack) -> None:
    """Rows older than three days go when the server connects; younger ones stay."""
    stack = fragile_stack
    with psycopg.connect(stack.postgres.url) as connection:
        for age in ("80 hours", "10 hours"):
            connection.execute(OLD_ROW, (age, age))
    stack.postgres.kill()
    stack.wait_for_health(503)
    stack.postgres.start()
    stack.wait_for_health(200)
    with psycopg.connect(stack.postgres.url) as connection:
        rows = connection.execute("select topic from realtime.messages").fetchall()
    assert rows == [("10 hours",)]
