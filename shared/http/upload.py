"""Receives a file that is a request's whole body: onto the disk, within a size and a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

from shared.errors import PayloadTooLargeError, UnsupportedMediaTypeError, UploadTooSlowError
from shared.http.request_body import MAX_FORGOTTEN_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

MEDIA_TYPES: Final = ("application/json", "application/zip", "application/x-zip-compressed",
                      "application/x-ndjson", "application/jsonl")  # fmt: skip
FIRST_SECONDS: Final = 15.0
LEAST_BYTES_PER_SECOND: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came."""

    content: IO[bytes]
    is_zip: bool


@asynccontextmanager
async def received(request: Request, *, limit: int) -> AsyncIterator[Upload]:
    """Give the body, up to `limit` bytes, as a file that is gone after the block.

    Raises UnsupportedMediaTypeError unless it says that it is JSON or a zip, UploadTooSlowError,
    and PayloadTooLargeError; up to a bound, a body that is too long is read to its end before.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type not in MEDIA_TYPES or encoding != "identity":
        raise UnsupportedMediaTypeError("Send the file as application/json or application/zip.")
    with TemporaryFile() as file:
        try:
            size = await _receive(request, file, limit)
        except TimeoutError:
            raise UploadTooSlowError from None
        if size > limit:
            raise PayloadTooLargeError(f"The request body is larger than {limit} bytes.")
        file.seek(0)
        yield Upload(file, is_zip="zip" in media_type)


async def _receive(request: Request, file: IO[bytes], limit: int) -> int:
    """Write the body to a file; return how long it is, or was when it became far too long."""
    size = 0
    begun = asyncio.get_running_loop().time()
    async with asyncio.timeout(FIRST_SECONDS) as deadline:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                await asyncio.to_thread(file.write, chunk)
            elif size > limit + MAX_FORGOTTEN_BYTES:
                break
            deadline.reschedule(begun + FIRST_SECONDS + size / LEAST_BYTES_PER_SECOND)
    return size
