"""The entries of a JSON file one after the other: the items of its list, or its lines.

Only one of them is in memory at a time, and one that can't be read costs no other.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from shared.encoding.exact import MAX_PLAIN_DIGITS, ExactNumber
from shared.errors import InvalidImportError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES: Final = 256 * 1024
MAX_DIGITS: Final = 16_000  # before or behind the point: within what jsonb holds
MAX_UNREADABLE: Final = 100
LONGEST_TOKEN: Final = 12  # of those that are read in one piece: two escapes, a name
SPACE: Final = re.compile(r"[ \t\n\r]*")


class BrokenJsonError(InvalidImportError):
    """The file is not valid JSON."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a file; `error` says why it isn't taken, and `value` then only names it."""

    value: Any
    error: InvalidImportError | None = None
    has_huge_number: bool = False  # one that only our own JSON may have


def entries_of(file: IO[bytes]) -> Iterator[Entry]:
    """Yield the items of a list, or the values that stand one after the other.

    Raises InvalidImportError where the file isn't JSON or has too many entries that can't be read.
    """
    text = _Text(file)
    first = text.next_character()
    if not first:
        raise InvalidImportError("The file is empty.")
    unreadable = 0
    read = _items if first == "[" else _lines
    for entry in read(text, _Strict()):
        unreadable += entry.error is not None
        if entry.error and unreadable > MAX_UNREADABLE:
            raise entry.error
        yield entry


def _items(text: _Text, strict: _Strict) -> Iterator[Entry]:
    text.skip(1)
    if text.next_character() == "]":
        text.skip(1)
    else:
        separator = ","
        while separator == ",":
            yield _entry(text, strict)
            separator = text.next_character()
            text.skip(1)
        if separator != "]":
            raise text.broken(-1)
    if text.next_character():
        raise text.broken(0)


def _lines(text: _Text, strict: _Strict) -> Iterator[Entry]:
    """Yield values until the end; a line that is none costs itself, once one was read."""
    has_read = False
    while text.next_character():
        try:
            entry = _entry(text, strict)
        except BrokenJsonError as exc:
            if not has_read or not text.skip_line():
                raise
            entry = Entry(None, exc)
        has_read = True
        yield entry


def _entry(text: _Text, strict: _Strict) -> Entry:
    strict.has_huge_number = False
    try:
        value = text.value(strict.decoder)
        return Entry(value, has_huge_number=strict.has_huge_number)
    except BrokenJsonError:
        raise
    except InvalidImportError as exc:
        return Entry(text.value(LENIENT), exc)


class _Text:
    """A file's text, decoded as far as it is needed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._before = 0  # characters that are read and forgotten
        self._is_whole = False

    def next_character(self) -> str:
        """Skip white space and return what follows, nothing at the end."""
        while True:
            self._at = SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def skip(self, count: int) -> None:
        """Go on by some characters."""
        self._at += count

    def skip_line(self) -> bool:
        """Go on to the next line; return whether there is one."""
        while (end := self._text.find("\n", self._at)) < 0:
            if not self._more():
                return False
        self._at = end + 1
        return True

    def value(self, decoder: json.JSONDecoder) -> Any:
        """Return the next value."""
        self.next_character()
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as exc:
                is_near_the_end = exc.pos >= len(self._text) - LONGEST_TOKEN
                may_go_on = is_near_the_end or exc.msg.startswith("Unterminated")
                if not may_go_on or not self._more():
                    raise self.broken(exc.pos - self._at, exc.msg) from None
                continue
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def broken(self, offset: int, problem: str = "") -> BrokenJsonError:
        """Return the error for JSON that is wrong at this place."""
        place = self._before + self._at + offset
        rest = self._text[self._at + offset :].strip()
        is_begun = any(word.startswith(rest) for word in ("true", "false", "null", "-"))
        if is_begun or problem.startswith("Unterminated"):
            return BrokenJsonError(
                f"The file ends within its JSON, at character {place}: it may have been cut off."
            )
        return BrokenJsonError(f"The file is not valid JSON at character {place}.")

    def _more(self) -> bool:
        """Read as much again as is waiting; return whether there was anything."""
        if self._is_whole:
            return False
        waiting = self._text[self._at :]
        chunk = self._file.read(max(CHUNK_BYTES, len(waiting)))
        self._is_whole = not chunk
        try:
            decoded = self._decoder.decode(chunk, final=self._is_whole)
        except UnicodeDecodeError:
            raise BrokenJsonError("The file is not UTF-8.") from None
        self._before += self._at
        self._text, self._at = waiting + decoded, 0
        return bool(chunk)


class _Strict:
    """Reads JSON whose numbers keep every digit, and notes numbers that no double holds."""

    def __init__(self) -> None:
        self.has_huge_number = False
        self.decoder = json.JSONDecoder(
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=self._number,
            parse_int=self._integer,
        )

    def _integer(self, text: str) -> int | ExactNumber:
        return int(text) if len(text) <= MAX_PLAIN_DIGITS else self._number(text)

    def _number(self, text: str) -> ExactNumber:
        exponent = text.lower().partition("e")[2]
        is_long = len(text) > MAX_DIGITS or len(exponent) > 6
        if is_long or abs(Decimal(text).adjusted()) > MAX_DIGITS:
            raise InvalidImportError("A number in the file is too large.")
        number = ExactNumber(text)
        self.has_huge_number = self.has_huge_number or math.isinf(number)
        return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidImportError("A JSON object in the file names a key twice.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidImportError(f"{name} is not a JSON number.")


# Only finds where an entry ends that can't be read, and what it is called.
LENIENT: Final = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
