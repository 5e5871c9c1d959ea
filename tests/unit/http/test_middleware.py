"""What a request is answered that the server breaks off."""

import asyncio
from typing import Any

import pytest

from shared.http.middleware import CatchAll


async def test_what_is_cut_off_by_the_servers_end_is_to_be_asked_again() -> None:
    """A server that stops cancels what still runs, and would answer it with a bare 500."""
    begun, sent = asyncio.Event(), []

    async def endless(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    request = asyncio.ensure_future(CatchAll(endless)({"type": "http"}, receive, send))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    start, body = sent
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"2")
    assert b'"unavailable"' in body["body"]
