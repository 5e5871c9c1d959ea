"""What a file is read into, whatever its format: conversations that are yet to be stored."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..encoding.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ..encoding.parts import Part
    from ..models.transfers import ImportSource

TICK = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_TITLE = "New Chat"
MAX_TITLE_CHARS = 200
MAX_ID_CHARS = 200
BY_CONTENT = "sha256:"  # opens the id of what is known by its content, having no id
LAST_SECOND = 32_503_680_000  # of the year 2999; as milliseconds it is in 1971
NUMBER = re.compile(r"\d{9,16}(\.\d+)?")


@dataclass(slots=True)
class ParsedMessage:
    """A message in its order; `at` is None if the file doesn't say when, or says nonsense."""

    role: str
    content: str
    at: datetime | None
    metadata: dict[str, Any] = field(default_factory=dict)
    generated_code: str | None = None
    parts: list[Part] = field(default_factory=list)
    native: dict[str, Any] | None = None
    branch: int = 0


class Fork(NamedTuple):
    """Where a branch begins: the one that it goes on from, and the last message of both."""

    parent: int
    after: ParsedMessage | None


class Thread(NamedTuple):
    """The messages of a conversation in the order they were written, and its branches from 1 on."""

    messages: list[ParsedMessage]
    forks: Sequence[Fork] = ()
    active_branch: int = 0


@dataclass(slots=True)
class ParsedConversation:
    """A conversation; `source_id` is what makes importing it again harmless.

    `left_out` counts what was not taken, by why, and `kept` what stands beside the words.
    `branches` has the forks by seq, once it is known which rows there are.
    """

    source: ImportSource
    source_id: str
    title: str
    messages: list[ParsedMessage]
    created_at: datetime | None = None
    archived_at: datetime | None = None
    project_id: UUID | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    is_exact: bool = False  # stored as it is, or not at all
    forks: Sequence[Fork] = ()
    branches: list[dict[str, int]] = field(default_factory=list)
    active_branch: int = 0


@dataclass(slots=True)
class Notes:
    """What is noted while one conversation is read."""

    now: datetime
    user_id: UUID
    left_out: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    system: list[str] = field(default_factory=list)

    def moment(self, value: Any) -> datetime | None:
        """Return a moment; one that can't be read is counted."""
        moment = moment_of(value, self.now)
        if moment is None and value not in (None, "", 0):
            self.left_out["unreadable_time"] += 1
        return moment

    def objects(self, value: Any) -> list[dict[str, Any]]:
        """Return the objects of a list; what else is there is counted."""
        rows = value if isinstance(value, list) else [value] if value else []
        found = as_objects(rows) if isinstance(value, list) else []
        self.left_out.update(["unreadable"] * (len(rows) - len(found)))
        return found

    def conversation(
        self,
        source: ImportSource,
        source_id: str,
        title: Any,
        thread: Thread,
        *,
        created_at: Any = None,
        archived_at: datetime | None = None,
        more: dict[str, Any] | None = None,
    ) -> ParsedConversation:
        """Return what was read; `more` is kept in its metadata, and so is the system's text."""
        beside = {"source": source, "system": "\n\n".join(self.system), **(more or {})}
        imported = {
            name: value for name, value in beside.items() if value not in (None, "", [], {})
        }
        self.kept.update({"system": len(self.system)} if self.system else {})
        return ParsedConversation(
            source=source,
            source_id=source_id,
            title=fitting_title(title, thread.messages),
            messages=thread.messages,
            created_at=self.moment(created_at),
            archived_at=archived_at,
            metadata={"imported": imported},
            left_out=self.left_out,
            kept=self.kept,
            forks=thread.forks,
            active_branch=thread.active_branch,
        )


def source_id(entry: dict[str, Any], *names: str) -> str:
    """Return the id a conversation has where it is from; without one, a hash of it."""
    for name in names:
        given = entry.get(name)
        if isinstance(given, str) and 0 < len(given.strip()) <= MAX_ID_CHARS:
            return given
    return f"{BY_CONTENT}{digest_of(entry)}"


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value in hexadecimal, however it is written."""
    return hashlib.sha256(canonical(value).encode(errors="surrogatepass")).hexdigest()


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str | None:
    """Return a text, None for anything else."""
    return value if isinstance(value, str) else None


def set_times(conversation: ParsedConversation, now: datetime) -> None:
    """Give every message a moment that is later than the one before it, and none that is to come.

    Where the file says when, and that is later, it is kept; else it is the one before and a
    microsecond. None is before 1970: our own JSON with such a time can't be imported again.
    """
    known = next((message.at for message in conversation.messages if message.at), now)
    earliest = min(conversation.created_at or known, known) - TICK * len(conversation.messages)
    previous = max(earliest, EPOCH - TICK)
    for message in conversation.messages:
        message.at = previous = max(message.at or previous, previous + TICK)
    conversation.created_at = conversation.created_at or next(
        (m.at for m in conversation.messages), now
    )


def sensible_moment(moment: datetime | None, now: datetime) -> datetime | None:
    """Return a moment in UTC; None for one before 1970 or still to come."""
    if moment is None:
        return None
    try:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        in_utc = aware.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return in_utc if EPOCH <= in_utc <= now else None


def moment_of(value: Any, now: datetime) -> datetime | None:
    """Read ISO 8601 text or a number of seconds, milliseconds or smaller parts since 1970.

    Return None for anything else. Which of them a number counts shows by its size: what is too
    large for seconds of this millennium is none.
    """
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        try:
            return sensible_moment(datetime.fromisoformat(value.strip()), now)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        scales = (float(value) / scale for scale in (1, 10**3, 10**6, 10**9))
        seconds = next(seconds for seconds in scales if seconds <= LAST_SECOND)
        return sensible_moment(EPOCH + timedelta(seconds=seconds), now)
    except (OverflowError, ValueError, StopIteration):
        return None


def fitting_title(title: Any, messages: list[ParsedMessage]) -> str:
    """Return a title that fits; without one, how the first message begins."""
    given = " ".join(title.split()) if isinstance(title, str) else ""
    if not given:
        first = next((message.content for message in messages if message.role == "user"), "")
        given = " ".join(first[:400].split())[:80].strip()
    return given[:MAX_TITLE_CHARS].strip() or NEW_TITLE
