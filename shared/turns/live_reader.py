"""How far the listeners of a running turn have it, and what of it is new to them, as events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from ..encoding.sizes import stored_size
from .draft import PartChange, PartPiece, TextPiece
from .running_turn import Position, StatusChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from .broadcaster import Event
    from .draft import Change
    from .running_turn import RunningTurn

GATHER_SECONDS = 0.1
PIECE_SECONDS = 0.5  # from the second piece of a text on, the least between two of them
MAX_PART = 65_536  # bytes
MAX_DELTA = 16_384  # characters of one event; Realtime carries 256 kB on the smallest plan


def conversation_topic(conversation_id: UUID) -> str:
    """Return the private topic of a conversation."""
    return f"conversation:{conversation_id}"


@dataclass(eq=False)
class LiveReader:
    """How far the listeners of one turn have it, and whether that is to be all."""

    running: RunningTurn
    attempt: int
    position: Position = field(default_factory=Position)
    pieces: int = 0
    text_due_at: float = 0.0
    is_ended: bool = False  # its reply is being committed
    is_resting: asyncio.Event = field(default_factory=asyncio.Event)  # nothing of it is under way

    def __post_init__(self) -> None:
        """Begin at rest."""
        self.is_resting.set()

    @property
    def goes_on(self) -> bool:
        """Whether anything more may be sent of the turn."""
        return self.running.is_worked_on and not self.is_ended

    def start_over(self) -> None:
        """Forget what was sent where another attempt has adopted the turn."""
        if self.attempt != self.running.attempt:
            self.attempt, self.position, self.pieces = self.running.attempt, Position(), 0

    def events(self, *, with_text: bool) -> list[Event]:
        """Return what is new: each status, and the text where that is due too."""
        end = self.running.end
        changes = self.running.changes_since(self.position)
        if not with_text:
            changes = [change for change in changes if isinstance(change, StatusChange)]
        self.position = end if with_text else self.position._replace(statuses=end.statuses)
        event = event_of(self.running.record.conversation.id, self.running.id, self.attempt)
        return [new for change in changes for new in events_of(change, event)]

    def wrote(self, now: float) -> None:
        """Plan the next piece of the text: soon after the first, later after each other."""
        self.pieces += 1
        self.text_due_at = now + (GATHER_SECONDS if self.pieces < 2 else PIECE_SECONDS)

    @property
    def has_status(self) -> bool:
        """Whether there is a status that can't wait."""
        return self.position.statuses < self.running.end.statuses

    def has_text(self, now: float) -> bool:
        """Whether there is a piece of text, or a part, to be sent by now."""
        seen, end = self.position, self.running.end
        is_new = seen.offset < end.offset or seen.version < end.version
        return is_new and now >= self.text_due_at


NewEvent: TypeAlias = "Callable[..., Event]"


def event_of(conversation_id: UUID, turn_id: UUID, attempt: int) -> NewEvent:
    """Return what makes an event, of a name and what it says, of an attempt at a turn."""
    return partial(live_event, conversation_id=conversation_id, turn_id=turn_id, attempt=attempt)


def events_of(change: StatusChange | Change, event: NewEvent) -> Iterator[Event]:
    """Yield the events that a change is for the listeners of its turn."""
    match change:
        case StatusChange():
            yield event("status", status=change.status)
        case PartChange():
            if stored_size(change.part) <= MAX_PART:  # a larger one comes with its row
                yield event("part", index=change.index, offset=change.offset, part=change.part)
        case PartPiece():
            for offset, piece in _cut(change):
                yield event("part-delta", index=change.index, offset=offset, text=piece)
        case TextPiece():
            for offset, piece in _cut(change):
                yield event("delta", offset=offset, text=piece)


def _cut(change: TextPiece | PartPiece) -> Iterator[tuple[int, str]]:
    for start in range(0, len(change.text), MAX_DELTA):
        yield change.offset + start, change.text[start : start + MAX_DELTA]


def live_event(
    name: str, conversation_id: UUID, turn_id: UUID, *, attempt: int, **says: Any
) -> Event:
    """Return an event for the listeners of a conversation."""
    return {
        "topic": conversation_topic(conversation_id),
        "event": name,
        "payload": {"turnId": str(turn_id), "attempt": attempt, **says},
        "private": True,
    }
