"""Broadcasts over HTTP: who may, what is refused, and what arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from local.realtime.hub import PAYLOAD_BYTES
from tests.support.realtime_stack import PUBLISHABLE_KEY, SECRET_KEY, Owner, token_for

if TYPE_CHECKING:
    from tests.support.realtime_stack import RealtimeStack

pytest_plugins = ["tests.support.realtime_plugin"]

GUEST = {"apikey": PUBLISHABLE_KEY}
SERVICE = {"apikey": SECRET_KEY}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "apikey": PUBLISHABLE_KEY}


def _message(topic: str, **fields: Any) -> dict[str, Any]:
    return {"topic": topic, "event": "posted", "payload": {"n": 1}, **fields}


async def _post(
    realtime: RealtimeStack, path: str, headers: dict[str, str], **request: Any
) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(f"{realtime.url}/api/broadcast{path}", headers=headers, **request)


async def test_batch_is_delivered(realtime: RealtimeStack, owner: Owner, topic: str) -> None:
    """A batch may mix topics; the service may send to any private one."""
    async with realtime.client() as client:
        await client.join(topic)
        await client.join(owner.quiet_topic, token=owner.token, private=True)
        batch = {"messages": [_message(topic), _message(owner.quiet_topic, private=True)]}
        response = await _post(realtime, "", SERVICE, json=batch)
        assert (response.status_code, response.content) == (202, b"")
        topics = [(await client.next_event("broadcast"))["topic"] for _ in range(2)]
    assert topics == [f"realtime:{topic}", f"realtime:{owner.quiet_topic}"]


async def test_batch_leaves_out_what_its_sender_may_not_send(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """A denied private message is skipped without an error; the rest goes out."""
    async with realtime.client() as client:
        await client.join(owner.quiet_topic, token=owner.token, private=True)
        await client.join(owner.open_topic, token=owner.token, private=True)
        batch = {
            "messages": [
                _message(owner.quiet_topic, private=True),
                _message(owner.open_topic, private=True),
            ]
        }
        response = await _post(realtime, "", _bearer(owner.token), json=batch)
        assert response.status_code == 202
        assert (await client.next_event("broadcast"))["topic"] == f"realtime:{owner.open_topic}"
        assert await client.settle() == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"apikey": "sb_secret_guess"}, _bearer("x"), _bearer(token_for("u", seconds=-9))],
)
@pytest.mark.parametrize("path", ["", "/topic/events/event"])
async def test_a_bad_token_is_unauthorized(
    realtime: RealtimeStack, headers: dict[str, str], path: str
) -> None:
    """No key, an unknown one, or a bad token beside a good key: 401."""
    response = await _post(realtime, path, headers, json={"messages": []})
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"messages": []}',
        b'{"messages": [7]}',
        b'{"messages": [{"topic": "t", "event": "e"}]}',
        b'{"messages": [{"topic": "t", "event": "e", "payload": [1]}]}',
        b'{"messages": [{"topic": "", "event": "e", "payload": {}}]}',
        b'{"messages": [{"topic": "t", "event": "e", "payload": {}, "private": []}]}',
        b'{"messages": [{"topic": "t", "event": "e", "payload": {"n": NaN}}]}',
    ],
)
async def test_batch_that_makes_no_sense_is_refused(realtime: RealtimeStack, body: bytes) -> None:
    """A malformed batch is a 422 that says what is wrong."""
    response = await _post(realtime, "", GUEST, content=body)
    assert response.status_code == 422
    assert response.json()["errors"]


async def test_batch_with_one_bad_message_sends_none(realtime: RealtimeStack, topic: str) -> None:
    """Here it is too large; nothing of the batch goes out."""
    async with realtime.client() as client:
        await client.join(topic)
        big = {"text": "x" * PAYLOAD_BYTES}
        batch = {"messages": [_message(topic), _message(topic, payload=big)]}
        response = await _post(realtime, "", GUEST, json=batch)
        assert response.status_code == 422
        assert await client.settle() == []


@pytest.mark.parametrize("name", ["plain", "with/slash", "with space?", "سلام"])
async def test_event_is_delivered_under_its_decoded_names(
    realtime: RealtimeStack, topic: str, name: str
) -> None:
    """Topic and event are percent-encoded in the path, slashes too."""
    async with realtime.client() as client:
        await client.join(f"{topic}/{name}")
        path = f"/{quote(f'{topic}/{name}', safe='')}/events/{quote(name, safe='')}"
        assert (await _post(realtime, path, GUEST, json={"n": 2})).status_code == 202
        message = await client.next_broadcast()
    assert (message["event"], message["payload"]) == (name, {"n": 2})


async def test_private_event_asks_the_policy(realtime: RealtimeStack, owner: Owner) -> None:
    """The same sender may send to one of its topics and is refused at the other."""
    async with realtime.client() as client:
        await client.join(owner.open_topic, token=owner.token, private=True)
        headers = _bearer(owner.token)
        allowed = f"/{owner.open_topic}/events/e?private=true"
        denied = f"/{owner.quiet_topic}/events/e?private=true"
        assert (await _post(realtime, allowed, headers, json={})).status_code == 202
        assert (await _post(realtime, denied, headers, json={})).status_code == 403
        assert (await client.next_broadcast())["event"] == "e"


@pytest.mark.parametrize("body", [b"{", b'"' + b"x" * PAYLOAD_BYTES + b'"'], ids=len)
async def test_event_that_makes_no_sense_is_refused(
    realtime: RealtimeStack, topic: str, body: bytes
) -> None:
    """The body is JSON of a bounded size."""
    response = await _post(realtime, f"/{topic}/events/e", GUEST, content=body)
    assert response.status_code == 422


async def test_an_unknown_path_is_not_found(realtime: RealtimeStack) -> None:
    """Only /{topic}/events/{event} lies under the batch's address."""
    assert (await _post(realtime, "/topic/event", GUEST, json={})).status_code == 404
