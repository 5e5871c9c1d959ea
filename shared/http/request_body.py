"""Reads a request's body: up to a limit, in time, and only where it is plain JSON of some parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..encoding.scan import JsonScan
from ..encoding.strict import REQUEST, JsonRules
from ..errors import (
    PayloadTooLargeError,
    RequestTooSlowError,
    UnsupportedMediaTypeError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

MAX_FORGOTTEN_BYTES: Final = 64 * 1024 * 1024
FIRST_SECONDS: Final = 15.0
LEAST_BYTES_PER_SECOND: Final = 64 * 1024
LARGE_BYTES: Final = 64 * 1024
MOST_BYTES_PER_SECOND: Final = 16 * 1024 * 1024  # of a large one: others have the event loop too


async def pieces_of(request: Request, *, limit: int) -> AsyncIterator[bytes]:
    """Yield a body as it comes. Only the time that was spent waiting for the client counts.

    Raises RequestTooSlowError, and PayloadTooLargeError if it is longer than `limit` bytes: up
    to a bound, such a body is read to its end and forgotten before, since many a client and gateway
    sees an answer only after it has sent everything.
    """
    clock = asyncio.get_running_loop().time
    coming = request.stream()
    size, spent = 0, 0.0
    while size <= limit + MAX_FORGOTTEN_BYTES:
        begun = clock()
        try:
            async with asyncio.timeout(FIRST_SECONDS + size / LEAST_BYTES_PER_SECOND - spent):
                piece = await anext(coming, None)
        except TimeoutError:
            raise RequestTooSlowError from None
        if piece is None:
            break
        spent += clock() - begun
        size += len(piece)
        if size <= limit:
            yield piece
    if size > limit:
        raise PayloadTooLargeError(f"The request body is larger than {limit} bytes.")


async def read_body(
    request: Request,
    *,
    limit: int,
    before_large: Callable[[], Awaitable[object]],
    rules: JsonRules = REQUEST,
) -> bytes:
    """Return a JSON body; `before_large` is awaited before more than LARGE_BYTES of one are read.

    Raises what `pieces_of` does, and InvalidRequestError if it holds more than may be parsed:
    nothing of such a body is kept.
    """
    kept: list[bytes] = []
    size, scan = 0, JsonScan()
    refusal = None
    async for piece in pieces_of(request, limit=limit):
        if size <= LARGE_BYTES < size + len(piece):
            await before_large()  # also for one that is only read to its end
        size += len(piece)
        if refusal is None:
            scan.read(piece)
            refusal = rules.refusal_of(scan)
            kept.append(piece)
        if refusal is not None:
            kept.clear()
        if size > LARGE_BYTES:
            await asyncio.sleep(len(piece) / MOST_BYTES_PER_SECOND)
    if refusal is not None:
        raise refusal
    return b"".join(kept)


def require_plain_json(request: Request) -> None:
    """Raise UnsupportedMediaTypeError unless the body says it is uncompressed JSON."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type != "application/json" or encoding != "identity":
        raise UnsupportedMediaTypeError
