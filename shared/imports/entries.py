"""The entries of a JSON file one after the other: the items of its list, or its lines.

Only one of them is in memory at a time, and one that can't be read costs no other.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from ..encoding.strict import STORED, JsonRules, decoder
from ..errors import InvalidImportError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES: Final = 256 * 1024
MAX_UNREADABLE: Final = 100
LONGEST_TOKEN: Final = 12  # of those that are read in one piece: two escapes, a name
HUGE: Final = re.compile(r"[\s:,\[]-?(?:\d[\d.]*[eE]\+?\d{3}|\d{300})")
SPACE: Final = re.compile(r"[ \t\n\r]*")


class BrokenJsonError(InvalidImportError):
    """The file is not valid JSON."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a file; `error` says why it isn't taken, and `value` then only names it."""

    value: Any
    error: InvalidImportError | None = None
    has_huge_number: bool = False  # as only our own JSON may, or text that looks like one


def entries_of(file: IO[bytes]) -> Iterator[Entry]:
    """Yield the items of a list, or the values that stand one after the other.

    Raises InvalidImportError if the file isn't JSON or has too many entries that can't be read.
    """
    text = _Text(file)
    first = text.next_character()
    if not first:
        raise InvalidImportError("The file is empty.")
    unreadable = 0
    read = _items if first == "[" else _lines
    for entry in read(text):
        unreadable += entry.error is not None
        if entry.error and unreadable > MAX_UNREADABLE:
            raise entry.error
        yield entry


def _items(text: _Text) -> Iterator[Entry]:
    text.skip(1)
    if text.next_character() == "]":
        text.skip(1)
    else:
        separator = ","
        while separator == ",":
            yield _entry(text)
            separator = text.next_character()
            text.skip(1)
        if separator != "]":
            raise text.broken(-1)
    yield from _lines(text)  # other lists, where each line is one


def _lines(text: _Text) -> Iterator[Entry]:
    """Yield values until the end; a line that is none costs itself, once one was read."""
    has_read = False
    while text.next_character():
        try:
            entry = _entry(text)
        except BrokenJsonError as exc:
            if not has_read or not text.skip_line():
                raise
            entry = Entry(None, exc)
        has_read = True
        yield entry


def _entry(text: _Text) -> Entry:
    try:
        return Entry(text.value(STRICT), has_huge_number=text.has_read(HUGE))
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
        self._begun = 0  # where the last value stands
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
            except RecursionError:
                raise InvalidImportError("The file is nested too deep.") from None
            except json.JSONDecodeError as exc:
                offset = exc.pos - self._at  # before more is read, which moves both
                is_near_the_end = exc.pos >= len(self._text) - LONGEST_TOKEN
                may_go_on = is_near_the_end or exc.msg.startswith("Unterminated")
                if not may_go_on or not self._more():
                    raise self.broken(offset, exc.msg) from None
                continue
            if end < len(self._text) or not self._more():
                self._begun, self._at = self._at, end
                return value

    def has_read(self, pattern: re.Pattern[str]) -> bool:
        """Say whether this stands in what the last value was read from."""
        return pattern.search(self._text, self._begun, self._at) is not None

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


RULES: Final = JsonRules(
    subject="file",
    error=InvalidImportError,
    max_digits=STORED.max_digits,  # whatever our own export has
    is_exact=True,
)
STRICT: Final = decoder(RULES)
# Only finds where an entry ends that can't be read, and what it is called.
LENIENT: Final = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
