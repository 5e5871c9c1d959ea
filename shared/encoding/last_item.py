"""Shortens JSON before it is parsed: of a list that may be long, only the last item stays."""

from __future__ import annotations

import json
import re
from typing import NoReturn


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


WHITE = re.compile(r"[ \t\n\r]*")
# Reads what is left out as cheaply as can be: numbers of any length are as good as any other.
SKIPPING = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse_constant)


def keep_last(content: bytes, field: str) -> bytes | str:
    """Return a JSON object whose list under `field` holds its last item alone.

    What is left out is JSON. Where it isn't, all is returned as it came, for a parser to refuse.
    """
    try:
        text = content.decode()
        first, last = _items_to_leave_out(text, field)
    except (ValueError, RecursionError):
        return content
    return text[:first] + text[last:]


def _items_to_leave_out(text: str, field: str) -> tuple[int, int]:
    """Return from where to where they stand; raise ValueError where this is no such JSON."""
    at = _behind("{", text, 0)
    while True:
        name, at = SKIPPING.raw_decode(text, at)
        at = _behind(":", text, at)
        if name == field and text[at : at + 1] == "[":
            first = _behind("[", text, at)
            return first, _last_item(text, first)
        _, at = SKIPPING.raw_decode(text, at)
        at = _behind(",", text, at)


def _last_item(text: str, at: int) -> int:
    """Return where the last item of a list begins whose first one begins here."""
    while True:
        begins_at = at
        _, at = SKIPPING.raw_decode(text, at)
        at = _behind_white(text, at)
        if text[at : at + 1] != ",":
            return begins_at
        at = _behind_white(text, at + 1)


def _behind(mark: str, text: str, at: int) -> int:
    at = _behind_white(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"no {mark} here")
    return _behind_white(text, at + 1)


def _behind_white(text: str, at: int) -> int:
    found = WHITE.match(text, at)
    return found.end() if found else at
