"""Answers that are files: the type, a safe name, and bytes as they are made."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from ..exports.download import Download

HEADERS = {"X-Accel-Buffering": "no"}


def file_response(download: Download) -> StreamingResponse:
    """Return the response that sends a file. Where making it fails, the transfer is broken off."""
    headers = {**HEADERS, "Content-Disposition": content_disposition(download.name)}
    if download.following:
        headers["Link"] = f'<?{download.following}>; rel="next"'
    return StreamingResponse(download.chunks, media_type=download.media_type, headers=headers)


def content_disposition(name: str) -> str:
    """Return the header of RFC 6266: a name in ASCII, and the whole one where it isn't that."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"-{2,}", "-", plain).replace("-.", ".")
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"
