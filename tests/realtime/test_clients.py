"""The real clients, of both languages, against the server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates

from tests.support.realtime_stack import (
    PATIENCE,
    PUBLISHABLE_KEY,
    SECRET_KEY,
    Owner,
    token_for,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.realtime_stack import RealtimeStack

pytest_plugins = ["tests.support.realtime_plugin"]


@asynccontextmanager
async def _python_client(realtime: RealtimeStack, key: str) -> AsyncIterator[AsyncRealtimeClient]:
    client = AsyncRealtimeClient(realtime.url, key, auto_reconnect=False)
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


def _config(*, ack: bool = False) -> Any:
    return {
        "config": {
            "private": True,
            "broadcast": {"ack": ack, "self": False},
            "presence": {"key": "", "enabled": False},
        }
    }


async def _subscribe(channel: AsyncRealtimeChannel) -> asyncio.Queue[RealtimeSubscribeStates]:
    states: asyncio.Queue[RealtimeSubscribeStates] = asyncio.Queue()
    async with asyncio.timeout(PATIENCE):
        await channel.subscribe(lambda state, _error: states.put_nowait(state))
    return states


async def test_python_clients_talk_on_a_private_topic(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """A user receives what the service sends on the user's topic, by socket and by HTTP."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    async with (
        _python_client(realtime, PUBLISHABLE_KEY) as browser,
        _python_client(realtime, SECRET_KEY) as backend,
    ):
        await browser.set_auth(owner.token)
        listening = browser.channel(owner.quiet_topic, _config())
        listening.on_broadcast("*", received.put_nowait)
        states = await _subscribe(listening)
        assert states.get_nowait() == RealtimeSubscribeStates.SUBSCRIBED
        sending = backend.channel(owner.quiet_topic, _config(ack=True))
        await _subscribe(sending)
        async with asyncio.timeout(PATIENCE):
            await sending.send_broadcast("status", {"n": 1})
            assert (await received.get())["payload"] == {"n": 1}
            await sending.http_send("posted", {"n": 2})
            assert (await received.get())["payload"] == {"n": 2}


async def test_python_client_is_put_out_when_its_token_expires(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """An expired token reaches the client as an error and a close."""
    async with _python_client(realtime, PUBLISHABLE_KEY) as browser:
        await browser.set_auth(token_for(owner.id, seconds=3))
        states = await _subscribe(browser.channel(owner.quiet_topic, _config()))
        async with asyncio.timeout(PATIENCE):
            assert [await states.get() for _ in range(3)] == [
                RealtimeSubscribeStates.SUBSCRIBED,
                RealtimeSubscribeStates.CHANNEL_ERROR,
                RealtimeSubscribeStates.CLOSED,
            ]
