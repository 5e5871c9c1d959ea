"""A request's body: read up to its limits, in time, and only where it is plain JSON."""

import asyncio
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from starlette.requests import Request

from shared.errors import (
    AppError,
    InvalidRequestError,
    PayloadTooLargeError,
    RequestTooSlowError,
    UnsupportedMediaTypeError,
)
from shared.http import request_body
from shared.http.request_body import LARGE_BYTES, require_plain_json

MIB = 1024 * 1024


async def no_place() -> None:
    """Need no place for a large body."""


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read a body that needs no place."""
    return await request_body.read_body(request, limit=limit, before_large=no_place)


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
@pytest.mark.promise("strict input", red="`size > limit + 1`")
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


def coming(pieces: Iterable[bytes], pause: float = 0) -> Request:
    """Return a request whose body is made as it comes."""
    source: Iterator[bytes] = iter(pieces)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        piece = next(source, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


HOSTILE = {
    "lists": b"[[],[],[],[],[],",
    "objects": b'{"a":{},"b":{},"c":{},',
    "numbers": b"1,2,3,4,5,6,7,8,9,0,",
    "deep": b"[" * 32,
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_body_of_too_many_parts_is_refused_and_nothing_of_it_kept(kind: str) -> None:
    """Before it is parsed, and after it was read to its end, as one that is too long is."""
    piece = HOSTILE[kind] * (64 * 1024 // len(HOSTILE[kind]))
    request = coming(piece for _ in range(110))
    tracemalloc.start()
    with pytest.raises(InvalidRequestError, match=r"values|nested"):
        await read_body(request, limit=8 * MIB)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * MIB


async def test_a_place_is_taken_before_a_large_body_is_kept() -> None:
    """Once, and for no small one; one that is refused is read in a place as well."""
    taken: list[str] = []

    async def before_large() -> None:
        taken.append("place")

    def pieces(size: int) -> Iterator[bytes]:
        for number in range(3):
            taken.append(f"piece {number}")
            yield b" " * (size // 3)

    for size in (LARGE_BYTES, 2 * LARGE_BYTES):
        request = coming(pieces(size))
        await request_body.read_body(request, limit=MIB, before_large=before_large)
    small = ["piece 0", "piece 1", "piece 2"]
    assert taken == [*small, "piece 0", "piece 1", "place", "piece 2"]
    taken.clear()
    with pytest.raises(InvalidRequestError):
        await request_body.read_body(
            coming([b"[" * LARGE_BYTES] * 3), limit=MIB, before_large=before_large
        )
    assert taken == ["place"]


async def test_the_wait_for_a_place_is_not_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the time in which nothing came counts."""
    monkeypatch.setattr(request_body, "FIRST_SECONDS", 0.2)

    async def before_large() -> None:
        await asyncio.sleep(0.5)

    request = coming([b" " * LARGE_BYTES] * 2)
    assert await request_body.read_body(request, limit=MIB, before_large=before_large)


@pytest.mark.parametrize(
    ("pieces", "refusal"),
    [([b"a"] * 50, RequestTooSlowError), ([b""] * 50, RequestTooSlowError), ([b"a"] * 2, None)],
    ids=["slow", "stopped", "in time"],
)
async def test_a_body_that_comes_too_slowly_is_refused(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], refusal: type[AppError] | None
) -> None:
    """A connection that is held open with a few bytes holds nothing for long."""
    monkeypatch.setattr(request_body, "FIRST_SECONDS", 0.3)
    reading = read_body(coming(pieces, pause=0.05), limit=100)
    if refusal is None:
        assert await reading == b"aa"
        return
    with pytest.raises(refusal):
        await reading
