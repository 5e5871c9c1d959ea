"""Receives a file that is a request's whole body: onto the disk, within a size and a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

from ..errors import UnsupportedMediaTypeError
from .request_body import pieces_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

MEDIA_TYPES: Final = ("application/json", "application/zip", "application/x-zip-compressed",
                      "application/x-ndjson", "application/jsonl")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came."""

    content: IO[bytes]
    is_zip: bool


@asynccontextmanager
async def received(request: Request, *, limit: int) -> AsyncIterator[Upload]:
    """Give the body, up to `limit` bytes, as a file that is gone after the block.

    Raises UnsupportedMediaTypeError unless it says that it is JSON or a zip, and what `pieces_of`
    does.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type not in MEDIA_TYPES or encoding != "identity":
        raise UnsupportedMediaTypeError("Send the file as application/json or application/zip.")
    with TemporaryFile() as file:
        async for piece in pieces_of(request, limit=limit):
            await asyncio.to_thread(file.write, piece)
        file.seek(0)
        yield Upload(file, is_zip="zip" in media_type)
