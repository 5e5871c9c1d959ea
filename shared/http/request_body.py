"""Reads a request's body, up to a limit, and only where it is plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import PayloadTooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_FORGOTTEN_BYTES = 64 * 1024 * 1024


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body; raise PayloadTooLargeError where it is longer than `limit` bytes.

    Up to a bound, a body that is too long is read to its end and forgotten: many a client and
    gateway sees an answer only after it has sent everything.
    """
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + MAX_FORGOTTEN_BYTES:
            break
    if size > limit:
        raise PayloadTooLargeError(f"The request body is larger than {limit} bytes.")
    return b"".join(chunks)


def require_plain_json(request: Request) -> None:
    """Raise UnsupportedMediaTypeError unless the body says it is uncompressed JSON."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type != "application/json" or encoding != "identity":
        raise UnsupportedMediaTypeError
