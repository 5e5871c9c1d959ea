"""The socket: connecting, joining, public broadcasts, and clients that misbehave."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from local.realtime.connection import OUTBOX_FRAMES
from local.realtime.hub import PAYLOAD_BYTES
from tests.support.realtime_stack import PATIENCE

if TYPE_CHECKING:
    from tests.support.realtime_stack import RawClient, RealtimeStack

pytest_plugins = ["tests.support.realtime_plugin"]

VERSIONS = pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])


@pytest.mark.parametrize(
    ("key", "version", "status"),
    [("sb_publishable_tests", "3.0.0", 400), ("sb_publishable_guess", "2.0.0", 401), ("", "", 400)],
)
async def test_connect_refused_before_the_upgrade(
    realtime: RealtimeStack, key: str, version: str, status: int
) -> None:
    """An unknown version or key is an HTTP error with a JSON reason."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(realtime.socket_url(key, version)):
            pass
    assert refusal.value.response.status_code == status
    assert json.loads(refusal.value.response.body)["error"]


async def test_without_a_version_it_is_the_first_and_a_null_ref_comes_back(
    realtime: RealtimeStack,
) -> None:
    """As the Python client has its heartbeats answered."""
    async with connect(realtime.socket_url().partition("&vsn")[0]) as websocket:
        beat: dict[str, Any] = {
            "topic": "phoenix",
            "event": "heartbeat",
            "payload": {},
            "ref": None,
        }
        await websocket.send(json.dumps(beat))
        assert json.loads(await websocket.recv()) == {
            "topic": "phoenix",
            "event": "phx_reply",
            "payload": {"status": "ok", "response": {}},
            "ref": None,
        }


@VERSIONS
async def test_heartbeat_is_answered_with_its_ref(realtime: RealtimeStack, version: str) -> None:
    """Both versions get their heartbeat's reply."""
    async with realtime.client(version=version) as client:
        ref = await client.send("phoenix", "heartbeat", {})
        assert await client.reply_to(ref) == {"status": "ok", "response": {}}


@pytest.mark.parametrize("sender_version", ["1.0.0", "2.0.0"])
@pytest.mark.parametrize("receiver_version", ["1.0.0", "2.0.0"])
async def test_broadcast_crosses_the_versions(
    realtime: RealtimeStack, topic: str, sender_version: str, receiver_version: str
) -> None:
    """A broadcast reaches members of either version, whoever sends it."""
    async with (
        realtime.client(version=sender_version) as sender,
        realtime.client(version=receiver_version) as receiver,
    ):
        await sender.join(topic)
        await receiver.join(topic)
        await sender.broadcast(topic, "said", {"text": "سلام 👋"})
        assert await receiver.next_broadcast() == {
            "type": "broadcast",
            "event": "said",
            "payload": {"text": "سلام 👋"},
        }


@VERSIONS
async def test_broadcast_is_acknowledged_on_request_and_does_not_return(
    realtime: RealtimeStack, topic: str, version: str
) -> None:
    """`ack` brings a sender a reply; nothing else of its own broadcast comes to it."""
    async with realtime.client(version=version) as client:
        await client.join(topic)
        await client.broadcast(topic, "said", {})
        assert await client.settle() == []
        await client.join(topic, broadcast={"ack": "true"})
        ref = await client.broadcast(topic, "said", {"n": 1})
        assert await client.reply_to(ref) == {"status": "ok", "response": {}}
        assert await client.settle() == []


async def test_join_without_a_topic_is_refused(realtime: RealtimeStack) -> None:
    """`realtime:` alone names nothing."""
    async with realtime.client() as client:
        reply = await client.join("")
    assert reply["status"] == "error"
    assert reply["response"]["reason"].startswith("TopicNameRequired: ")


async def test_joining_again_replaces_the_membership(realtime: RealtimeStack, topic: str) -> None:
    """After a second join a broadcast comes once, and the first join can't leave any more."""
    async with realtime.client() as sender, realtime.client() as client:
        await sender.join(topic)
        first = await client.join(topic)
        await client.join(topic)
        await client.send(f"realtime:{topic}", "phx_leave", {}, join_ref=first["ref"])
        await client.settle()
        await sender.broadcast(topic, "one", {})
        await sender.broadcast(topic, "two", {})
        assert [(await client.next_broadcast())["event"] for _ in range(2)] == ["one", "two"]


@VERSIONS
async def test_leaving_ends_the_membership(
    realtime: RealtimeStack, topic: str, version: str
) -> None:
    """A leave is answered, then closed with the join's ref; nothing is delivered after."""
    async with realtime.client(version=version) as client, realtime.client() as sender:
        await sender.join(topic, broadcast={"ack": True})
        joined = await client.join(topic)
        ref = await client.send(f"realtime:{topic}", "phx_leave", {}, join_ref=joined["ref"])
        assert (await client.reply_to(ref))["status"] == "ok"
        assert (await client.next_event("phx_close"))["ref"] == joined["ref"]
        await sender.reply_to(await sender.broadcast(topic, "late", {}))
        assert await client.settle() == []


async def test_too_large_a_broadcast_is_an_error_and_reaches_nobody(
    realtime: RealtimeStack, topic: str
) -> None:
    """More than the limit is refused where an acknowledgement is wanted, and never sent."""
    async with realtime.client() as sender, realtime.client() as receiver:
        await sender.join(topic, broadcast={"ack": True})
        await receiver.join(topic)
        ref = await sender.broadcast(topic, "big", {"text": "x" * PAYLOAD_BYTES})
        assert (await sender.reply_to(ref))["status"] == "error"
        await sender.broadcast(topic, "small", {})
        assert (await receiver.next_broadcast())["event"] == "small"


@pytest.mark.parametrize("data", ["no json", "[1,2]", '{"topic":1}', b"\x09\x00", b"\x03\xff"])
async def test_a_frame_that_makes_no_sense_closes_the_socket(
    realtime: RealtimeStack, data: str | bytes
) -> None:
    """Undecodable frames end the connection with 1007, and only that connection."""
    async with realtime.client() as bystander, realtime.client() as client:
        await client.websocket.send(data)
        with pytest.raises(ConnectionClosed) as closing:
            await client.websocket.recv()
        assert closing.value.rcvd is not None
        assert closing.value.rcvd.code == 1007
        await bystander.settle()


async def test_a_stalled_client_is_dropped_and_holds_up_nobody(
    realtime: RealtimeStack, topic: str
) -> None:
    """A member that stops reading loses its connection; the others get every broadcast."""
    count = OUTBOX_FRAMES + 500
    async with (
        realtime.client(max_queue=1, ping_interval=None) as stalled,
        realtime.client() as receiver,
        realtime.client() as sender,
    ):
        for client in (stalled, receiver, sender):
            await client.join(topic)
        for number in range(count):
            await sender.broadcast(topic, "n", {"n": number, "text": "x" * 20_000})
            assert (await receiver.next_broadcast())["payload"]["n"] == number
        assert await _count_until_closed(stalled) < count


async def _count_until_closed(client: RawClient) -> int:
    count = 0
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionClosed):
            async for _ in client.websocket:
                count += 1
    return count
