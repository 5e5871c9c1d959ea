"""Blocks of code: lines too long for the page are broken here, and not by the typesetter.

A line breaks between two characters that are no spaces, behind punctuation where there is some:
a space at the end of a line on paper would be lost to whoever copies it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from shared.export.typeset.text import is_joined

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
    places = range(end, max(start, end - LOOK_BACK), -1)
    solid = [place for place in places if _is_solid(line, place)]
    good = (place for place in solid if line[place - 1] in _GOOD_END)
    return next(good, solid[0] if solid else end)


def _is_solid(line: str, place: int) -> bool:
    before, after = line[place - 1], line[place]
    return not before.isspace() and not after.isspace() and not is_joined(after)


def _width(char: str) -> int:
    if is_joined(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
