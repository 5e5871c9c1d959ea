"""The limit of messages a second, as the local server counts it and clients meet it."""

from __future__ import annotations

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


async def test_a_batch_that_does_not_fit_is_refused_as_a_whole(
    small: RealtimeStack, topic: str
) -> None:
    """With a 429, however quiet it was before; a smaller one is taken."""
    assert await post(small, topic, 11) == 429
    assert await post(small, topic, 3) == 202
