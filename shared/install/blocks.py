"""Text of ours at the end of a file that isn't: put there between two marks, and taken out again.

Taken out, it leaves the file as it was, byte for byte.
"""

from __future__ import annotations

import re


def marks(kind: str) -> tuple[str, str]:
    """Return the lines between which a block of this kind stands."""
    return f"# message-persistence: {kind}, from here", f"# message-persistence: {kind}, to here"


def content_of(text: str, kind: str) -> str | None:
    """Return what stands in the block; None if there is none."""
    found = _pattern(kind).search(text)
    return found["content"] if found else None


def with_block(text: str, kind: str, content: str) -> str:
    """Return the text with this content added to its block, which comes at the end."""
    if found := _pattern(kind).search(text):
        end = found.end("content")
        return f"{text[:end]}{content}{text[end:]}"
    first, last = marks(kind)
    return f"{text}\n{first}\n{content}{last}\n"


def without_block(text: str, kind: str) -> str:
    """Return the text without its block."""
    found = _pattern(kind).search(text)
    if found is None:
        return text
    before, after = text[: found.start()], text[found.end() :]
    # What was written behind the block since stays in a line of its own.
    is_joined = after and not after.startswith("\n") and before and not before.endswith("\n")
    return f"{before}\n{after}" if is_joined else before + after


def _pattern(kind: str) -> re.Pattern[str]:
    first, last = (re.escape(mark) for mark in marks(kind))
    return re.compile(rf"\n{first}\n(?P<content>.*?){last}\n", re.DOTALL)
