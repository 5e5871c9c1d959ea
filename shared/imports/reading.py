"""From a file to conversations: which format each entry is of, and everything in it, or why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Final

from ..encoding.exact import ExactNumber
from ..errors import ChecksumMismatchError, InvalidImportError
from .budget import Budget
from .entries import MAX_UNREADABLE, entries_of
from .formats import format_of
from .formats.messages import is_message, messages_of, read_list
from .formats.ours import is_ours
from .parsed import Notes, fitting_title
from .storing import RowTooLargeError, make_ready
from .zip_files import UnreadableEntryError, sources_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from typing import TypeAlias
    from uuid import UUID

    from ..models.transfers import SkipReason
    from .parsed import ParsedConversation
    from .zip_files import Source

MAX_INFLATION: Final = 4  # times the largest upload that is taken
MAX_WRAPPERS: Final = 3  # lists and objects around conversations
UNKNOWN: Final = (
    "The file is none that is known: our own JSON, a list of {role, content}, or an export of one"
    " of the systems in docs/imports.md."
)
OUR_MANIFEST: Final = "message-persistence/account"


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that isn't taken, and why."""

    title: str
    error: InvalidImportError | ChecksumMismatchError

    @property
    def reason(self) -> SkipReason:
        """Return the report's word for it."""
        if isinstance(self.error, ChecksumMismatchError):
            return "checksum_mismatch"
        return "too_large" if isinstance(self.error, RowTooLargeError) else "unreadable"


Read: TypeAlias = "ParsedConversation | Rejected"


class FileReader:
    """Reads one upload; `limit` is the most bytes that one may have."""

    def __init__(self, *, limit: int, now: datetime, user_id: UUID, key: str | None) -> None:
        self._limit = limit
        self._now = now
        self._user_id = user_id
        self._key = key
        self._lists = 0

    def read(self, upload: IO[bytes], *, is_zip: bool) -> Iterator[Read]:
        """Yield what the file holds, ready to be stored.

        Raises InvalidImportError with one sentence that says what is wrong with the whole file.
        """
        with sources_in(upload, is_zip=is_zip) as sources:
            budget = Budget(self._limit * MAX_INFLATION)
            readable: list[Source] = []
            for source in sources:
                try:
                    with source.open() as file:
                        budget.take(file)
                    readable.append(source)
                except UnreadableEntryError as exc:
                    if source.name is None:
                        raise
                    yield Rejected(source.name or "", exc)
            for source in readable:
                yield from self._file(source)

    def _file(self, source: Source) -> Iterator[Read]:
        """Yield what one file holds. One in a zip that isn't readable costs only itself."""
        rejected: list[Rejected] = []
        has_found = False
        try:
            for read in self._conversations(source):
                if not isinstance(read, Rejected):
                    has_found = True
                    yield read
                    continue
                rejected.append(read)
                if len(rejected) > MAX_UNREADABLE:
                    raise rejected[0].error
        except InvalidImportError as exc:
            if source.name is None:
                raise
            rejected.append(Rejected(source.name, exc))
        if source.name is None or has_found:
            yield from rejected
        elif rejected:
            yield Rejected(source.name, rejected[0].error)

    def _conversations(self, source: Source) -> Iterator[Read]:
        """Yield a file's conversations; messages that follow each other are one."""
        messages: list[Any] = []
        with source.open() as file:
            for entry in entries_of(file):
                error = entry.error
                if entry.has_huge_number and not (
                    isinstance(entry.value, dict) and is_ours(entry.value)
                ):
                    error = _huge_number(entry.value)
                if error is not None:
                    yield Rejected(title_of(entry.value), error)
                elif is_message(entry.value) or (messages and not _is_conversation(entry.value)):
                    messages.append(entry.value)
                else:
                    if messages:
                        yield self._list(messages, {"title": source.name})
                        messages = []
                    yield from self._entry(entry.value)
        if messages:
            yield self._list(messages, {"title": source.name})

    def _entry(self, value: Any, depth: int = 0) -> Iterator[Read]:
        """Yield the conversation that an entry is, or those that it wraps."""
        if isinstance(value, dict) and value.get("format") == OUR_MANIFEST:
            return
        if known := format_of(value):
            yield self._checked(lambda notes: known.read(value, notes), value)
        elif isinstance(value, dict) and (listed := messages_of(value)):
            name, rows = listed
            yield self._list(rows, {key: part for key, part in value.items() if key != name})
        elif isinstance(value, list) and any(map(is_message, value[:MAX_UNREADABLE])):
            yield self._list(value, {})
        else:
            yield from self._wrapped(value, depth)

    def _wrapped(self, value: Any, depth: int) -> Iterator[Read]:
        """Yield what stands in a list, or in one of an object's members."""
        has_found = False
        unknown: list[str] = []
        for name, member in _containers(value) if depth < MAX_WRAPPERS else ():
            rejected: list[Rejected] = []
            items = member if isinstance(member, list) else [member]
            for read in chain.from_iterable(self._entry(item, depth + 1) for item in items):
                if isinstance(read, Rejected):
                    rejected.append(read)
                    if len(rejected) > MAX_UNREADABLE:
                        break
                else:
                    has_found = True
                    yield read
            if len(rejected) < len(items):
                yield from rejected
            else:
                unknown.append(name)
        if has_found:
            error = InvalidImportError(UNKNOWN)
            yield from (Rejected(fitting_title(name, []), error) for name in unknown)
        else:
            yield Rejected(title_of(value), InvalidImportError(UNKNOWN))

    def _list(self, rows: list[Any], about: dict[str, Any]) -> Read:
        """Return a list of messages; an Idempotency-Key names the first, and counts the others."""
        self._lists += 1
        key = self._key and (self._key if self._lists == 1 else f"{self._key}#{self._lists}")
        return self._checked(lambda notes: read_list(rows, notes, about=about, key=key), about)

    def _checked(self, read: Callable[[Notes], ParsedConversation], value: Any) -> Read:
        try:
            conversation = read(Notes(self._now, self._user_id))
            make_ready(conversation, self._now)
        except (InvalidImportError, ChecksumMismatchError) as exc:
            return Rejected(title_of(value), exc)
        except RecursionError:
            return Rejected(title_of(value), InvalidImportError("The file is nested too deep."))
        except (AttributeError, LookupError, TypeError, ValueError):  # of a shape that nobody knows
            return Rejected(title_of(value), InvalidImportError(UNKNOWN))
        return conversation


def _is_conversation(value: Any) -> bool:
    """Say whether an entry among messages is none of them."""
    is_known = format_of(value) or (isinstance(value, dict) and messages_of(value))
    return bool(is_known) or isinstance(value, list)


def _containers(value: Any) -> Iterable[tuple[str, Any]]:
    """Return the lists and objects in a value, each with its name."""
    members = value.items() if isinstance(value, dict) else [("", value)]
    return [(name, each) for name, each in members if each and isinstance(each, list | dict)]


def title_of(value: Any) -> str:
    """Return what an entry that isn't taken is called, as far as it is called anything."""
    members = value if isinstance(value, dict) else {}
    names = (members.get(name) for name in ("title", "name", "id", "role"))
    return fitting_title(next((one for one in names if isinstance(one, str)), None), [])


def _huge_number(value: Any) -> InvalidImportError | None:
    """Return the error for a number that no double holds, with its place, if there is one."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        field, item = waiting.pop()
        if isinstance(item, ExactNumber) and math.isinf(item):
            problem = {"field": field, "problem": "The number is too large."}
            return InvalidImportError(
                f"The number at {field[:80]} is too large.", details=[problem]
            )
        members = item.items() if isinstance(item, dict) else enumerate(_items_of(item))
        waiting += [(f"{field}.{name}".lstrip("."), member) for name, member in members]
    return None


def _items_of(item: Any) -> list[Any]:
    return item if isinstance(item, list) else []
