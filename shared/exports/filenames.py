"""What a downloaded file is called: from its title, safe in a header, a folder and a zip."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from .json_document import in_utc

if TYPE_CHECKING:
    from ..models.rows import ConversationRow

MAX_NAME_CHARS = 60
MAX_NAME_BYTES = 180  # a folder takes 255, with the date, an id and the suffix


def conversation_name(conversation: ConversationRow, suffix: str) -> str:
    """Return the date it began on, its title's words and the suffix."""
    day = (in_utc(conversation.created_at) or "")[:10]
    return f"{'-'.join(filter(None, (day, slug(conversation.title))))}.{suffix}"


def slug(title: str) -> str:
    """Return a title's letters with their marks, digits and hyphens, whatever their script."""
    words = ""
    for letter in unicodedata.normalize("NFC", title):
        is_kept = letter.isalnum() or letter in "-_"
        is_mark = unicodedata.category(letter).startswith("M")
        if is_kept or (is_mark and words and words[-1] != " "):
            words += letter
        elif not words.endswith(" "):
            words += " "
    cut = words.replace(" ", "-")[:MAX_NAME_CHARS].encode()[:MAX_NAME_BYTES]
    return cut.decode(errors="ignore").strip("-_")
