"""Sends to Realtime: bounded, silent after a failure, and never in the way of a turn."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import respx

from shared.persistence.http_pool import create_pool
from shared.turns.broadcaster import SILENT_SECONDS, Broadcaster
from tests.support.unit_settings import SECRET_KEY, URL, unit_settings

EVENT = {"topic": "t", "event": "e", "payload": {}, "private": True}


@pytest.fixture
async def broadcaster() -> AsyncIterator[Broadcaster]:
    """A broadcaster that waits half a second."""
    settings = unit_settings(realtime_timeout=0.5)
    async with create_pool(settings) as pool:
        yield Broadcaster(pool, settings)


@pytest.fixture
def realtime() -> Iterator[respx.Route]:
    """Realtime's endpoint, which takes everything unless a test says otherwise."""
    with respx.mock(assert_all_called=False) as router:
        yield router.post(f"{URL}/realtime/v1/api/broadcast").respond(202)


class Playing:
    """Plays a Realtime that answers this, raises it, or hangs; counts what it was sent."""

    def __init__(self, outcome: httpx.Response | Exception | None = None) -> None:
        self.outcome = outcome
        self.count = 0

    async def __call__(self, _: httpx.Request) -> httpx.Response:
        """Take one request."""
        self.count += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome is None:
            await asyncio.sleep(3600)
        assert self.outcome is not None
        return self.outcome


@pytest.mark.parametrize(("key", "is_token"), [(SECRET_KEY, False), ("eyJ.a.b", True)])
async def test_an_older_projects_key_is_sent_as_a_token_too(
    realtime: respx.Route, key: str, is_token: bool
) -> None:
    """A newer one is no token, and goes into apikey alone."""
    settings = unit_settings(SUPABASE_SECRET_KEY=key)
    async with create_pool(settings) as pool:
        await Broadcaster(pool, settings).send([EVENT])
    request = realtime.calls.last.request
    assert json.loads(request.content) == {"messages": [EVENT]}
    assert request.headers["apikey"] == key
    assert request.headers.get("authorization") == (f"Bearer {key}" if is_token else None)


@pytest.mark.promise("Realtime away", red="a broadcast tried during the silence")
@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(500),
        httpx.Response(403),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        RuntimeError("whatever"),
        None,
    ],
    ids=["500", "403", "refused", "reset", "bug", "hanging"],
)
async def test_after_a_failure_nothing_is_tried_for_a_while(
    broadcaster: Broadcaster, realtime: respx.Route, failure: httpx.Response | Exception | None
) -> None:
    """Then once more; and when that goes well, always again. Nothing is ever raised."""
    playing = Playing(failure)
    realtime.mock(side_effect=playing)
    clock = asyncio.get_running_loop().time
    started = clock()
    for _ in range(3):
        await broadcaster.send([EVENT])
    assert clock() - started <= broadcaster.timeout
    await asyncio.sleep(SILENT_SECONDS - 0.01)
    await broadcaster.send([EVENT])
    assert playing.count == 1
    await asyncio.sleep(0.02)
    await broadcaster.send([EVENT])
    assert playing.count == 2
    await asyncio.sleep(SILENT_SECONDS)
    playing.outcome = httpx.Response(202)
    for _ in range(3):
        await broadcaster.send([EVENT])
    assert playing.count == 5


async def test_after_a_refusal_for_the_limit_it_is_silent_for_longer_and_not_like_others(
    broadcaster: Broadcaster, realtime: respx.Route
) -> None:
    """A mean takes its time to fall, and processes that came back together would pass it again."""
    realtime.mock(side_effect=(playing := Playing(httpx.Response(429))))
    clock = asyncio.get_running_loop().time
    silences = []
    for _ in range(20):
        started = clock()
        assert await broadcaster.send([EVENT]) == "later"
        while broadcaster.is_silent:
            assert await broadcaster.send([EVENT]) == "later"
            await asyncio.sleep(0.1)
        silences.append(clock() - started)
    assert playing.count == 20
    assert SILENT_SECONDS <= min(silences) < max(silences) <= 3 * SILENT_SECONDS + 0.2
    assert max(silences) - min(silences) > SILENT_SECONDS / 2
