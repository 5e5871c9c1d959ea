"""Numbers that keep every digit they were written with."""

from __future__ import annotations

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
