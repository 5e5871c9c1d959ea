"""The database is killed and comes back: the server stays up, and its health shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from tests.support.realtime_stack import SECRET_KEY, Owner, RealtimeStack, token_for

if TYPE_CHECKING:
    from collections.abc import Iterator


pytest_plugins = ["tests.support.realtime_plugin"]

OLD_ROW = """
insert into realtime.messages (topic, extension, inserted_at)
values (%s, 'broadcast', timezone('utc', now()) - %s::interval)
"""


@pytest.fixture
def fragile_realtime() -> Iterator[RealtimeStack]:
    realtime = RealtimeStack()
    try:
        realtime.start()
        yield realtime
    finally:
        realtime.stop()


@pytest.mark.promise("Postgres away")
async def test_the_server_outlives_its_database(
    fragile_realtime: RealtimeStack, owner: Owner
) -> None:
    """Sockets and public topics go on, private joins are refused for now, and all comes back."""
    realtime = fragile_realtime
    async with realtime.client() as member, realtime.client() as newcomer:
        await member.join("public", broadcast={"ack": True})
        await member.join(owner.open_topic, token=owner.token, private=True)
        realtime.postgres.kill()
        realtime.wait_for_health(503)
        ref = await member.broadcast("public", "still", {})
        assert (await member.reply_to(ref))["status"] == "ok"
        reply = await newcomer.join(owner.open_topic, token=owner.token, private=True)
        assert reply["response"]["reason"].startswith("InitializingProjectConnection: ")
        realtime.postgres.start()
        realtime.wait_for_health(200)
        reply = await newcomer.join(owner.open_topic, token=owner.token, private=True)
        assert reply["status"] == "ok"
        realtime.postgres.execute(f"select realtime.send('{{}}', 'back', '{owner.open_topic}')")
        assert (await newcomer.next_broadcast())["event"] == "back"
        assert (await member.next_broadcast())["event"] == "back"


async def test_what_needs_the_database_fails_softly(
    fragile_realtime: RealtimeStack, owner: Owner
) -> None:
    """Without a database a new token ends a membership, and a private post is a 503."""
    realtime = fragile_realtime
    async with realtime.client() as member:
        await member.join(owner.open_topic, token=owner.token, private=True)
        realtime.postgres.kill()
        realtime.wait_for_health(503)
        fresh = {"access_token": token_for(owner.id, seconds=900)}
        await member.send(f"realtime:{owner.open_topic}", "access_token", fresh)
        assert (await member.next_event("phx_close"))["topic"] == f"realtime:{owner.open_topic}"
    message = {"topic": owner.open_topic, "event": "e", "payload": {}, "private": True}
    async with httpx.AsyncClient(headers={"apikey": SECRET_KEY}) as client:
        response = await client.post(f"{realtime.url}/api/broadcast", json={"messages": [message]})
    assert response.status_code == 503


def test_a_new_session_prunes_what_is_old(fragile_realtime: RealtimeStack) -> None:
    """Rows older than three days go when the server connects; younger ones stay."""
    realtime = fragile_realtime
    with psycopg.connect(realtime.postgres.url()) as connection:
        for age in ("80 hours", "10 hours"):
            connection.execute(OLD_ROW, (age, age))
    realtime.postgres.kill()
    realtime.wait_for_health(503)
    realtime.postgres.start()
    realtime.wait_for_health(200)
    with psycopg.connect(realtime.postgres.url()) as connection:
        rows = connection.execute("select topic from realtime.messages").fetchall()
    assert rows == [("10 hours",)]
