"""Blocks of code: lines too long for the page are broken here, and not by the typesetter.

It breaks lines at spaces alone; here a line of 400 characters without any keeps all of them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from .text import is_joined

COLUMNS: Final = 90  # that fit into the block's width
LOOK_BACK: Final = 24  # columns in which to look for a good place
TAB_SIZE: Final = 4
_GOOD_END: Final = frozenset(",;:)]}>/\\|&=+-_.?")
_NEWLINE: Final = re.compile("\r\n|[\r\n\u2028\u2029]")


class Line(NamedTuple):
    """A line as it is printed."""

    text: str
    is_continued: bool  # it goes on from the one before


def wrap(text: str, columns: int = COLUMNS) -> list[Line]:
    """Return the lines of code, those that are too long broken into several."""
    return [
        Line(part, is_continued=place > 0)
        for line in _NEWLINE.split(text)
        for place, part in enumerate(_break(line.expandtabs(TAB_SIZE), columns))
    ]


def _break(line: str, columns: int) -> list[str]:
    if line.isascii() and len(line) <= columns:
        return [line]
    parts = []
    start = 0
    while start < len(line):
        end = _fitting(line, start, columns)
        if end < len(line):
            end = _good_end(line, start, end)
        parts.append(line[start:end])
        start = end
    return parts or [""]


def _fitting(line: str, start: int, columns: int) -> int:
    """Return where the text that starts here has filled the width."""
    if line[start : start + columns].isascii():
        return min(start + columns, len(line))
    used = 0
    for place in range(start, len(line)):
        used += _width(line[place])
        if used > columns and place > start:
            return place
    return len(line)


def _good_end(line: str, start: int, end: int) -> int:
    """Return where to break: behind a space, or behind punctuation, or where the width ends."""
    places = [at for at in range(end, max(start, end - LOOK_BACK), -1) if not is_joined(line[at])]
    spaces = (at for at in places if line[at - 1] == " " != line[at])
    marks = (at for at in places if line[at - 1] in _GOOD_END)
    return next(spaces, next(marks, places[0] if places else end))


def _width(char: str) -> int:
    if is_joined(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
