"""The real clients, of both languages, against the server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates

from local.node import NODE
from tests.support.realtime_stack import (
    PATIENCE,
    PUBLISHABLE_KEY,
    ROOT,
    SECRET_KEY,
    Owner,
    token_for,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.realtime_stack import RealtimeStack

pytest_plugins = ["tests.support.realtime_plugin"]

SCRIPT = ROOT / "tests" / "clients" / "realtime_client.mjs"
FOLDERS = [ROOT / "tests" / "clients", ROOT / "local" / "node"]


@asynccontextmanager
async def _python_client(realtime: RealtimeStack, key: str) -> AsyncIterator[AsyncRealtimeClient]:
    client = AsyncRealtimeClient(realtime.url, key, auto_reconnect=False)
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


def _config(*, private: bool = True, ack: bool = False, own: bool = False) -> Any:
    return {
        "config": {
            "private": private,
            "broadcast": {"ack": ack, "self": own},
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
    """A user hears what the service sends by socket and by HTTP on the user's topic."""
    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with (
        _python_client(realtime, PUBLISHABLE_KEY) as browser,
        _python_client(realtime, SECRET_KEY) as backend,
    ):
        await browser.set_auth(owner.token)
        listening = browser.channel(owner.quiet_topic, _config())
        listening.on_broadcast("*", heard.put_nowait)
        states = await _subscribe(listening)
        assert states.get_nowait() == RealtimeSubscribeStates.SUBSCRIBED
        sending = backend.channel(owner.quiet_topic, _config(ack=True))
        await _subscribe(sending)
        async with asyncio.timeout(PATIENCE):
            await sending.send_broadcast("status", {"n": 1})
            assert (await heard.get())["payload"] == {"n": 1}
            await sending.http_send("posted", {"n": 2})
            assert (await heard.get())["payload"] == {"n": 2}


async def test_python_client_is_told_that_a_topic_is_not_its_own(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """A refused join ends as an error, not as a subscription."""
    async with _python_client(realtime, PUBLISHABLE_KEY) as browser:
        await browser.set_auth(Owner().token)
        states = await _subscribe(browser.channel(owner.quiet_topic, _config()))
        assert states.get_nowait() == RealtimeSubscribeStates.CHANNEL_ERROR


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


async def test_python_client_sees_who_is_present(realtime: RealtimeStack, topic: str) -> None:
    """A tracked state shows up in the state of another member."""
    async with (
        _python_client(realtime, PUBLISHABLE_KEY) as first,
        _python_client(realtime, PUBLISHABLE_KEY) as second,
    ):
        watching, tracking = first.channel(topic), second.channel(topic)
        joined: asyncio.Queue[Any] = asyncio.Queue()
        watching.on_presence_join(lambda _key, _before, new: joined.put_nowait(new))
        await _subscribe(watching)
        await _subscribe(tracking)
        await tracking.track({"mood": "fine"})
        async with asyncio.timeout(PATIENCE):
            assert (await joined.get())[0]["mood"] == "fine"


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_supabase_js_does_everything_a_browser_does(
    realtime: RealtimeStack, owner: Owner, version: str
) -> None:
    """Subscribe, send with acknowledgement, httpSend, presence, a foreign topic, unsubscribe."""
    report = await _run_js(
        {
            "url": realtime.url.removesuffix("/realtime/v1"),
            "key": PUBLISHABLE_KEY,
            "token": owner.token,
            "topic": owner.open_topic,
            "other": Owner().open_topic,
            "vsn": version,
        }
    )
    assert report.pop("foreign")["status"] == "CHANNEL_ERROR"
    assert report.pop("raw", [0, 255, 7]) == [0, 255, 7]
    assert report == {
        "alice": {"status": "SUBSCRIBED"},
        "bob": {"status": "SUBSCRIBED"},
        "sent": "ok",
        "own": {"n": 1},
        "heard": {"n": 1},
        "httpSend": {"success": True},
        "posted": {"n": 2},
        "tracked": "ok",
        "present": "bob",
        "left": "ok",
    }


async def _run_js(settings: dict[str, str]) -> dict[str, Any]:
    wanted = "node_modules/@supabase/supabase-js/package.json"
    folder = next((folder for folder in FOLDERS if (folder / wanted).exists()), None)
    if folder is None or not NODE.exists():
        pytest.skip("supabase-js is not installed: run npm ci in tests/clients")
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), str(SCRIPT), str(folder), json.dumps(settings)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * PATIENCE):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    report: dict[str, Any] = json.loads(output)
    return report
