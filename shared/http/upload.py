"""Reads a file that is a request's whole body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import UnsupportedMediaTypeError
from shared.http.request_body import read_body

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA_TYPES = ("application/json", "application/zip", "application/x-zip-compressed")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came."""

    content: bytes
    is_zip: bool


async def read_upload(request: Request, *, limit: int) -> Upload:
    """Return the body, up to `limit` bytes.

    Raises UnsupportedMediaTypeError unless it says that it is JSON or a zip, and
    PayloadTooLargeError.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type not in MEDIA_TYPES or encoding != "identity":
        raise UnsupportedMediaTypeError("Send the file as application/json or application/zip.")
    content = await read_body(request, limit=limit)
    return Upload(content, is_zip=media_type != "application/json")
