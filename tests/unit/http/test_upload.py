"""A body on its way onto the disk: what it may be, how large, and how slow."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from starlette.requests import Request

from shared.errors import PayloadTooLargeError, RequestTooSlowError, UnsupportedMediaTypeError
from shared.http import request_body
from shared.http.upload import received


def request_of(
    chunks: Sequence[bytes], *, pause: float = 0, media_type: str = "application/json", **more: str
) -> Request:
    """Return a request whose body comes in these chunks."""

    async def bodies() -> AsyncIterator[dict[str, Any]]:
        for chunk in chunks:
            await asyncio.sleep(pause)
            yield {"type": "http.request", "body": chunk, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    headers = {"content-type": media_type, **more}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    coming = bodies()
    return Request({"type": "http", "headers": encoded}, receive=lambda: anext(coming))


class _Megabytes(Sequence[bytes]):
    """As many chunks of a megabyte, made when they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        if place >= self._count:
            raise IndexError
        return bytes(1024**2)


@pytest.mark.parametrize(
    ("media_type", "is_zip"),
    [("application/json; charset=utf-8", False), ("Application/Zip", True),
     ("application/x-zip-compressed", True), ("application/x-ndjson", False)],
)  # fmt: skip
async def test_a_file_is_received_as_it_came(media_type: str, is_zip: bool) -> None:
    """From its start, and gone after the block."""
    async with received(request_of([b"a", b"bc"], media_type=media_type), limit=3) as file:
        assert (file.content.read(), file.is_zip) == (b"abc", is_zip)
    assert file.content.closed


@pytest.mark.parametrize(
    "headers", [{"media_type": "text/html"}, {"content-encoding": "gzip"}], ids=str
)
async def test_what_says_to_be_something_else_is_refused(headers: dict[str, Any]) -> None:
    """Before a byte of it is read."""
    with pytest.raises(UnsupportedMediaTypeError):
        async with received(request_of([], **headers), limit=3):
            pass


async def test_a_file_takes_no_memory_while_it_comes() -> None:
    """It goes to the disk: many that stop shortly before their end hold nothing."""
    request = request_of(_Megabytes(24))
    tracemalloc.start()
    async with received(request, limit=64 * 1024**2) as file:
        _, most = tracemalloc.get_traced_memory()
        assert file.content.seek(0, 2) == 24 * 1024**2
    tracemalloc.stop()
    assert most < 8 * 1024**2


async def test_a_file_that_is_too_large_is_read_to_its_end_and_refused() -> None:
    """A client sees the answer only after it has sent everything."""
    request = request_of([b"abcd", b"e"])
    with pytest.raises(PayloadTooLargeError):
        async with received(request, limit=3):
            pass
    with pytest.raises(StopAsyncIteration):
        await request.receive()


@pytest.mark.parametrize("chunks", [[b"a"] * 50, [b""] * 50], ids=["slow", "stopped"])
async def test_a_file_that_comes_too_slowly_is_refused(
    monkeypatch: pytest.MonkeyPatch, chunks: list[bytes]
) -> None:
    """Each byte gives it a little more time, and no longer."""
    monkeypatch.setattr(request_body, "FIRST_SECONDS", 0.1)
    with pytest.raises(RequestTooSlowError):
        async with received(request_of(chunks, pause=0.01), limit=100):
            pass


async def test_a_file_that_comes_steadily_may_take_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came counts."""
    monkeypatch.setattr(request_body, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(request_body, "LEAST_BYTES_PER_SECOND", 10)
    async with received(request_of([b"abcdef"] * 5, pause=0.05), limit=100) as file:
        assert len(file.content.read()) == 30
