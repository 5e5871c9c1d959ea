"""A request's body: read up to its limit, and only where it is plain JSON."""

from typing import Any

import pytest
from starlette.requests import Request

from shared.errors import PayloadTooLargeError, UnsupportedMediaTypeError
from shared.http.request_body import read_body, require_plain_json


def request_with(*chunks: bytes, **headers: str) -> Request:
    """Return a request whose body arrives in these chunks."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


@pytest.mark.parametrize("chunks", [[b"12345"], [b"1"] * 5, [b"", b"123", b"", b"45"]])
async def test_a_body_at_the_limit_is_read_whole(chunks: list[bytes]) -> None:
    """However it is cut."""
    assert await read_body(request_with(*chunks), limit=5) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"123456"], [b"1"] * 6, [b"12345", b"", b"6"]])
async def test_a_body_over_the_limit_is_refused(chunks: list[bytes]) -> None:
    """With no length declared, or one that lies."""
    for headers in ({}, {"content_length": "2"}, {"content_length": "x"}):
        with pytest.raises(PayloadTooLargeError, match="5 bytes"):
            await read_body(request_with(*chunks, **headers), limit=5)


@pytest.mark.parametrize("length", ["6", "9" * 5000, "0000000000000000000000006"])
async def test_a_declared_length_over_the_limit_is_refused_unread(length: str) -> None:
    """Before a byte of it is taken; where the figure is odd, the bytes are counted instead."""
    request = request_with(b"123456", content_length=length)
    with pytest.raises(PayloadTooLargeError):
        await read_body(request, limit=5)


@pytest.mark.parametrize(
    ("headers", "plain"),
    [
        ({"content_type": "application/json"}, True),
        ({"content_type": "APPLICATION/JSON ; charset=utf-8"}, True),
        ({"content_type": "application/json", "content_encoding": "identity"}, True),
        ({}, False),
        ({"content_type": ""}, False),
        ({"content_type": "text/json"}, False),
        ({"content_type": "multipart/form-data; boundary=x"}, False),
        ({"content_type": "application/json+x"}, False),
        ({"content_type": "application/json, text/plain"}, False),
        ({"content_type": "application/json", "content_encoding": "gzip"}, False),
        ({"content_type": "application/json", "content_encoding": "gzip, gzip"}, False),
        ({"content_type": "application/json", "content_encoding": "identity, br"}, False),
    ],
)
def test_only_uncompressed_json_is_taken(headers: dict[str, str], plain: bool) -> None:
    """By what the headers say; nothing is guessed from the body."""
    if plain:
        require_plain_json(request_with(**headers))
        return
    with pytest.raises(UnsupportedMediaTypeError):
        require_plain_json(request_with(**headers))
