"""How many tokens a text takes, without a tokenizer: the same estimate that the SQL functions make.

A third of the bytes in UTF-8: one token for a CJK character, one for three letters of English or
code, which really take about four. Only text without any words, such as base64, takes more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..encoding.parts import is_tool
from ..encoding.sizes import stored_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..encoding.parts import Part

BYTES_PER_TOKEN: Final = 3
MESSAGE_TOKENS: Final = 4  # for what a provider puts around each message
FILE_TOKENS: Final = 1000


def estimate_tokens(text: str) -> int:
    """Return the estimated tokens of one message with this text."""
    return -(-_size(text) // BYTES_PER_TOKEN) + MESSAGE_TOKENS


def parts_tokens(role: str, parts: Iterable[Part]) -> int:
    """Return the estimated tokens of what a model is given of a message's parts, beside its text.

    Calls of tools with their results, and what a user has attached: an image takes tokens by its
    area and not by its bytes, so what an address holds counts as so many.
    """
    size = 0
    for part in parts:
        if is_tool(part):
            size += stored_size(part)
        elif part.get("type") == "file" and role == "user":
            size += FILE_TOKENS * BYTES_PER_TOKEN
    return -(-size // BYTES_PER_TOKEN)


def cut_to_tokens(text: str, tokens: int, *, mark: str = "") -> str:
    """Return the text if it fits, else as much of its start as does with the mark behind it."""
    room = max(tokens - MESSAGE_TOKENS, 0) * BYTES_PER_TOKEN
    if _size(text) <= room:
        return text
    kept = max(room - _size(mark), 0)
    start = text[:kept].encode(errors="replace")[:kept]
    return (start.decode(errors="ignore") + mark)[:room]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
