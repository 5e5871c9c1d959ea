"""Answers that are files: the type, a safe name, and bytes as they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from shared.export.names import content_disposition

if TYPE_CHECKING:
    from shared.export.download import Download

HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def file_response(download: Download) -> StreamingResponse:
    """Return the response that sends a file. Where making it fails, the transfer is broken off."""
    return StreamingResponse(
        download.chunks,
        media_type=download.media_type,
        headers={**HEADERS, "Content-Disposition": content_disposition(download.name)},
    )
