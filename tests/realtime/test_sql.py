"""What SQL sends: realtime.send, its delivery, and the schema that holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.support.realtime_stack import ROOT, SECRET_KEY, Owner

if TYPE_CHECKING:
    from tests.support.realtime_stack import RealtimeStack

pytest_plugins = ["tests.support.realtime_plugin"]

SEND = "select realtime.send(jsonb_build_object('n', %s::int), %s, %s, %s)"


def _send(realtime: RealtimeStack, topic: str, *numbers: int, private: bool = True) -> None:
    with psycopg.connect(realtime.postgres.url()) as connection:
        connection.execute("set role service_role")
        for number in numbers:
            connection.execute(SEND, (number, "counted", topic, private))


def _send_as(realtime: RealtimeStack, owner: Owner, topic: str) -> list[str]:
    """Send as a signed-in user; return the warnings."""
    warnings: list[str] = []
    with psycopg.connect(realtime.postgres.url()) as connection:
        connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
        connection.execute("set role authenticated")
        claims = f'{{"sub": "{owner.id}", "role": "authenticated"}}'
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        connection.execute(SEND, (1, "counted", topic, True))
    return warnings


@pytest.mark.parametrize("private", [True, False])
async def test_send_reaches_the_topic_in_order(
    realtime: RealtimeStack, owner: Owner, private: bool
) -> None:
    """One transaction's broadcasts arrive in order, each with its row's id."""
    topic = owner.quiet_topic
    async with realtime.client(version="1.0.0") as client:
        await client.join(topic, token=owner.token, private=private)
        _send(realtime, topic, *range(50), private=private)
        received = [await client.next_broadcast() for _ in range(50)]
    assert [message["payload"]["n"] for message in received] == list(range(50))
    assert all(message["meta"]["id"] == message["payload"]["id"] for message in received)


async def test_send_that_is_rolled_back_reaches_nobody(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """A broadcast stands or falls with its transaction."""
    topic = owner.quiet_topic
    async with realtime.client() as client:
        await client.join(topic, token=owner.token, private=True)
        with psycopg.connect(realtime.postgres.url()) as connection:
            connection.execute(SEND, (1, "lost", topic, True))
            connection.rollback()
        _send(realtime, topic, 2)
        assert (await client.next_broadcast())["payload"]["n"] == 2


async def test_send_keeps_an_id_that_the_payload_has(realtime: RealtimeStack, owner: Owner) -> None:
    """Only a payload without an id is given one."""
    topic = owner.quiet_topic
    async with realtime.client() as client:
        await client.join(topic, token=owner.token, private=True)
        realtime.postgres.execute(f"select realtime.send('{{\"id\": 7}}', 'own', '{topic}')")
        assert (await client.next_broadcast())["payload"] == {"id": 7}


async def test_send_as_a_user_obeys_the_policy(realtime: RealtimeStack, owner: Owner) -> None:
    """A user sends where it may; elsewhere it gets a warning, no error, and nothing is sent."""
    async with realtime.client(SECRET_KEY) as service:
        await service.join(owner.quiet_topic, private=True)
        await service.join(owner.open_topic, private=True)
        assert any("realtime.send" in text for text in _send_as(realtime, owner, owner.quiet_topic))
        assert _send_as(realtime, owner, owner.open_topic) == []
        frame = await service.next_event("broadcast")
    assert frame["topic"] == f"realtime:{owner.open_topic}"


@pytest.mark.parametrize("payload", ["null", "'[1]'", "'7'"])
def test_send_never_fails(realtime: RealtimeStack, topic: str, payload: str) -> None:
    """Whatever is sent, the caller's transaction goes on."""
    with psycopg.connect(realtime.postgres.url()) as connection:
        connection.execute(f"select realtime.send({payload}, 'odd', '{topic}')".encode())
        assert connection.execute("select 1").fetchone() == (1,)


def test_the_schema_applies_again_and_keeps_its_rows(realtime: RealtimeStack, topic: str) -> None:
    """A second start changes nothing."""
    _send(realtime, topic, 1)
    realtime.postgres.execute((ROOT / "local" / "realtime.sql").read_text())
    with psycopg.connect(realtime.postgres.url()) as connection:
        count = "select count(*) from realtime.messages where topic = %s"
        assert connection.execute(count, (topic,)).fetchone() == (1,)
