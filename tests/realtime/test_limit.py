"""The limit of messages a second, as the local server counts it and clients meet it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.realtime_stack import SECRET_KEY, RealtimeStack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.support.realtime_plugin"]

TICK = 0.2


@pytest.fixture
def small(realtime: RealtimeStack) -> Iterator[RealtimeStack]:
    """A server of its own for ten messages a second, whose mean is made five times a second."""
    server = RealtimeStack(realtime.postgres)
    server.start_server(events_per_second=10, tick_seconds=TICK)
    yield server
    server.stop_server()


async def post(server: RealtimeStack, topic: str, count: int) -> int:
    """Send so many messages in one request and return its status."""
    message = {"topic": topic, "event": "posted", "payload": {"n": 1}}
    async with httpx.AsyncClient() as http:
        response = await http.post(
            f"{server.url}/api/broadcast",
            json={"messages": [message] * count},
            headers={"apikey": SECRET_KEY},
        )
    return response.status_code


async def test_beyond_the_limit_listeners_lose_their_channels(
    small: RealtimeStack, topic: str
) -> None:
    """With a system message that says why; those who are delivered nothing keep theirs."""
    async with small.client() as listener, small.client() as other:
        await listener.join(topic)
        await other.join(f"{topic}-quiet")
        sending = asyncio.create_task(send_from_sql(small, topic))
        said = await listener.next_event("system")
        sending.cancel()
        assert said["payload"]["message"] == "Too many messages per second"
        assert (await listener.next_event("phx_close"))["topic"] == f"realtime:{topic}"
        assert await other.settle() == []


async def send_from_sql(server: RealtimeStack, topic: str) -> None:
    """Send many events at once, and then one at a time: who is over the limit learns it by one."""
    send = f"select realtime.send('{{}}', 'e', '{topic}', false)"
    server.postgres.execute(f"{send} from generate_series(1, 100)")
    while True:
        await asyncio.sleep(TICK)
        server.postgres.execute(send)


async def test_a_batch_that_does_not_fit_is_refused_as_a_whole(
    small: RealtimeStack, topic: str
) -> None:
    """With a 429, however quiet it was before; a smaller one is taken."""
    assert await post(small, topic, 11) == 429
    assert await post(small, topic, 3) == 202
