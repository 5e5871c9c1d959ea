"""A conversation or a whole account as a file, streamed: a page of the store at a time in memory.

A conversation is exported as of its last_seq at the start. Messages are append-only, so what was
there then can't change; what is written later is left out. A stream that breaks is broken off,
never ended: a client sees a transfer that is not complete, and no format is whole without its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .account import account_zip, part_bytes
from .download import Download
from .filenames import conversation_name
from .json_document import json_document
from .markdown import markdown_document
from .snapshot import take_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from ..auth.caller import Caller
    from ..config import Settings
    from ..models.transfers import ExportFormat
    from ..persistence import Persistence
    from .snapshot import Snapshot

__all__ = ["Download", "account_zip", "export_conversation", "part_bytes"]

MEDIA_TYPES: dict[ExportFormat, str] = {
    "json": "application/json",
    "markdown": "text/markdown; charset=utf-8",
    "pdf": "application/pdf",
}
SUFFIXES: dict[ExportFormat, str] = {"json": "json", "markdown": "md", "pdf": "pdf"}


async def export_conversation(
    persistence: Persistence,
    user_id: UUID,
    conversation_id: UUID,
    export_format: ExportFormat,
    *,
    caller: Caller,
    settings: Settings,
) -> Download:
    """Return a conversation as a download whose first bytes are ready.

    Raises ConversationNotFoundError, and for PDF also PdfNotInstalledError, PdfBusyError and
    PdfTooLargeError.
    """
    snapshot = await take_snapshot(persistence, user_id, conversation_id, caller=caller)
    if export_format == "pdf":
        chunks = await _pdf_document(snapshot, settings)
    else:
        render = json_document if export_format == "json" else markdown_document
        chunks = render(snapshot)
    return await Download.begun(
        chunks,
        media_type=MEDIA_TYPES[export_format],
        name=conversation_name(snapshot.conversation, SUFFIXES[export_format]),
    )


async def _pdf_document(snapshot: Snapshot, settings: Settings) -> AsyncIterator[bytes]:
    """Render as PDF, which needs packages that a deployment may do without."""
    from .pdf.render import render_pdf

    return await render_pdf(
        snapshot.conversation,
        snapshot.in_reading_order(),
        time_limit=settings.pdf_timeout,
        memory_limit=settings.pdf_memory_bytes,
    )
