"""A plain list of {role, content, timestamp?}, as a client without persistence has it in memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from shared.encoding.canonical import canonical
from shared.imports.parsed import ParsedConversation, ParsedMessage, fitting_title, moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from shared.models.transfers import PlainConversation, PlainMessage


def read_plain(
    conversation: PlainConversation, now: datetime, *, key: str | None
) -> ParsedConversation:
    """Return the list as a draft. Its key names it, else its content does."""
    text = canonical(conversation.model_dump()).encode(errors="surrogatepass")
    digest = hashlib.sha256(text).hexdigest()
    left_out = Counter(
        reason for message in conversation.messages if (reason := _why_left_out(message))
    )
    messages = [
        ParsedMessage(
            message.role,
            message.content,
            moment_of(message.timestamp, now, per_second=1000),
            {"imported": {"source": "list"}},
        )
        for message in conversation.messages
        if not _why_left_out(message)
    ]
    return ParsedConversation(
        source_id=key or f"sha256:{digest}",
        title=fitting_title(conversation.title, messages),
        messages=messages,
        provenance={"checksum": digest},
        left_out=left_out,
    )


def _why_left_out(message: PlainMessage) -> str | None:
    if message.role == "system":
        return "system"
    return None if message.content.strip() else "empty"
