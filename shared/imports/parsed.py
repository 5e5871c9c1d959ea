"""What a file is read into, whatever its format: conversations that are yet to be stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from shared.models.transfers import ImportSource

TICK = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_TITLE = "New Chat"
MAX_TITLE_CHARS = 200
MAX_ID_CHARS = 200


@dataclass(slots=True)
class ParsedMessage:
    """A message in its order; `at` is None where the file doesn't say when, or says nonsense."""

    role: str
    content: str
    at: datetime | None
    metadata: dict[str, Any] = field(default_factory=dict)
    generated_code: str | None = None


@dataclass(slots=True)
class ParsedConversation:
    """A conversation; `source_id` is what makes importing it again harmless."""

    source_id: str
    title: str
    messages: list[ParsedMessage]
    created_at: datetime | None = None
    archived_at: datetime | None = None
    project_id: UUID | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    is_exact: bool = False  # stored as it is, or not at all


@dataclass(frozen=True, slots=True)
class ImportFile:
    """What a file held."""

    source: ImportSource
    conversations: list[ParsedConversation]


def set_times(draft: ParsedConversation, now: datetime) -> None:
    """Give every message a moment that is later than the one before it, and none that is to come.

    Where the file says when, and that is later, it is kept; else it is the one before and a
    microsecond. None is before 1970: our own JSON with such a time can't be imported again.
    """
    known = next((message.at for message in draft.messages if message.at), now)
    earliest = min(draft.created_at or known, known) - TICK * len(draft.messages)
    previous = max(earliest, EPOCH - TICK)
    for message in draft.messages:
        message.at = previous = max(message.at or previous, previous + TICK)
    draft.created_at = draft.created_at or next((m.at for m in draft.messages), now)


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


def moment_of(value: Any, now: datetime, *, per_second: int = 1) -> datetime | None:
    """Read ISO 8601 text or a number since 1970; None for anything else."""
    if isinstance(value, str):
        try:
            return sensible_moment(datetime.fromisoformat(value), now)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return sensible_moment(EPOCH + timedelta(seconds=value / per_second), now)
    except (OverflowError, ValueError):
        return None


def fitting_title(title: Any, messages: list[ParsedMessage]) -> str:
    """Return a title that fits; without one, how the first message begins."""
    told = " ".join(title.split()) if isinstance(title, str) else ""
    if not told:
        first = next((message.content for message in messages if message.role == "user"), "")
        told = " ".join(first[:400].split())[:80].strip()
    return told[:MAX_TITLE_CHARS].strip() or NEW_TITLE
