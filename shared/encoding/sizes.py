"""What a row may hold, and how many bytes a value takes as the store writes it.

The check constraints of supabase/schemas name the same numbers. Text counts as JSON writes it,
without its quotes: so a row has a size as it is sent, too, whatever has to be escaped in it.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import Any, Final

from .exact import ExactNumber

MAX_TEXT_BYTES: Final = 2_000_000  # of a message's content, its generated code, a draft
MAX_METADATA_BYTES: Final = 1_000_000  # of a message: what was given with it, and as much of ours
MAX_GIVEN_METADATA_BYTES: Final = 500_000  # of a request, or of a conversation
MAX_PARTS_BYTES: Final = 2_000_000  # of a message, its text in them included; also of a draft
MAX_NATIVE_BYTES: Final = 2_000_000  # of a message in a framework's form
MAX_ROW_BYTES: Final = 5_000_000  # of a message with parts or native: all of that together
MAX_ORIGIN_BYTES: Final = 250_000  # of what says where a conversation was imported from
MAX_ERROR_BYTES: Final = 20_000  # of a turn


def text_size(text: str) -> int:
    """Return how many bytes a text has as JSON, without its quotes."""
    return len(encode_basestring(text).encode(errors="surrogatepass")) - 2


def cut_to_size(text: str, room: int) -> str:
    """Return a text, or as much of its start as takes no more bytes than these as JSON."""
    text = text[:room]
    if text_size(text) <= room:
        return text
    shortest, longest = 0, len(text)
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        size = text_size(text[shortest:middle])
        if size <= room:
            room -= size
            shortest = middle
        else:
            longest = middle - 1
    return text[:shortest]


def stored_size(value: Any) -> int:
    """Return how many bytes a value has as Postgres writes jsonb: numbers are written out."""
    size = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            size += text_size(item) + 2
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
            size += 4 * len(item) or 2
        elif isinstance(item, list):
            waiting += item
            size += 2 * len(item) or 2
        else:
            size += _number_size(item)
    return size


def _number_size(number: Any) -> int:
    text = number.text if isinstance(number, ExactNumber) else str(number)
    exponent = text.lower().partition("e")[2] if isinstance(number, float) else ""
    return len(text) + abs(int(exponent or 0))
