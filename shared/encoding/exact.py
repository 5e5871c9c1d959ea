"""Numbers that keep every digit they were written with."""

from __future__ import annotations

import json
from typing import Any

MAX_PLAIN_DIGITS = 300  # more than that Python doesn't turn into an integer without a limit


class ExactNumber(float):
    """A number as it was written: a float to whoever doesn't know better."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> ExactNumber:
        """Keep the text beside the nearest float."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def exact_integer(digits: str) -> int | ExactNumber:
    """Read an integer of any length."""
    return int(digits) if len(digits) <= MAX_PLAIN_DIGITS else ExactNumber(digits)


def read_exactly(text: str) -> Any:
    """Read JSON without losing a digit of its numbers."""
    return json.loads(text, parse_float=ExactNumber, parse_int=exact_integer)
