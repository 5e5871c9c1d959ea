"""Follows a turn from the outside, as a stream of events: one that runs here, or anywhere else.

Text comes as deltas of one attempt's draft, what it has beside its text as parts. Where another
attempt has taken the turn over, both start again: `accepted` is repeated, and deltas start at 0.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequestError, UnavailableError
from .draft import PartChange, PartPiece, TextPiece, in_order, marks_of
from .response import turn_in_progress
from .running_turn import StatusChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ..models.rows import MessageRow
    from ..models.turns import TurnRecord
    from .draft import Change
    from .followed import FollowedTurn, FollowedTurns
    from .running_turn import RunningTurn

# An attempt and an offset; the offset alone is an attempt's that isn't named.
EVENT_ID = re.compile(r"(?:([0-9]{1,9})\.)?([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a draft was read: so many characters of what this attempt (None: any) wrote."""

    offset: int = 0
    attempt: int | None = None

    def __str__(self) -> str:
        return f"{self.attempt}.{self.offset}"

    def within(self, record: TurnRecord) -> Place:
        """Return the place in this record's draft: its start, where another attempt wrote it."""
        attempt = record.turn.attempt
        return Place(self.offset if self.attempt in {None, attempt} else 0, attempt)

    def after(self, text: str) -> Place:
        """Return the place once this text is read too."""
        return Place(self.offset + len(text), self.attempt)


START = Place()


def place_from(last_event_id: str | None) -> Place:
    """Return the place in a draft that a client has read up to, by the last id it saw."""
    if not last_event_id:
        return START
    found = EVENT_ID.fullmatch(last_event_id)
    if found is None:
        raise InvalidRequestError("Last-Event-ID is not one that this endpoint gave.")
    attempt, offset = found.groups()
    return Place(int(offset), int(attempt) if attempt else None)


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """One event of a stream, and the place in the draft where its reader is then.

    `is_rest` marks the text that a stored reply has and its reader lacks: the reply follows.
    """

    name: str
    data: dict[str, Any]
    place: Place
    is_rest: bool = False


async def follow_running(running: RunningTurn, *, place: Place = START) -> AsyncIterator[TurnEvent]:
    """Yield the events of a turn that runs in this process, from a place in its draft on.

    Raises what ended it, where that isn't a stored reply.
    """
    place = place.within(running.record)
    place = Place(min(place.offset, running.length), place.attempt)  # nobody has read any further
    yield _accepted(running.record, place)
    position = running.position_at(place.offset)
    while True:
        change = running.change  # taken before the state is read, so that none is slept through
        place = Place(place.offset, running.attempt)  # another may have adopted the text
        news, position = running.changes_since(position), running.end
        for new in news:
            yield (event := _event_of(running.record, new, place))
            place = event.place
        if running.settled.done():
            break
        await change.wait()
    for event in _settled(running.settled.result(), place, replayed=False):
        yield event


async def follow_stored(
    turns: FollowedTurns,
    record: TurnRecord,
    *,
    place: Place = START,
    seconds: float,
    on_expired: Callable[[FollowedTurn], Awaitable[RunningTurn | None]],
) -> AsyncIterator[TurnEvent]:
    """Yield the events of a turn that runs in another process, by what it stores as it goes.

    `on_expired` is awaited where the turn has no worker any more: it settles the turn, or takes
    it over and returns what runs here then. Raises UnavailableError after `seconds`.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    async with turns.following(record) as turn:
        record = turn.record
        place = place.within(record)
        version = 0
        yield _accepted(record, place)
        while record.reply is None:
            marks = marks_of(record.draft_parts, version)
            for new in in_order(marks, offset=place.offset, text=record.draft[place.offset :]):
                yield (event := _event_of(record, new, place))
                place = event.place
            version = max((entry.version for entry in record.draft_parts), default=0)
            if record.is_expired and (running := await on_expired(turn)) is not None:
                async for event in follow_running(running):
                    yield event
                return
            record = await _next_reading(turn, deadline)
            if record.turn.attempt != place.attempt:
                place, version = place.within(record), 0
                yield _accepted(record, place)
    for event in _settled(record, place, replayed=True):
        yield event


async def _next_reading(turn: FollowedTurn, deadline: float) -> TurnRecord:
    try:
        async with asyncio.timeout_at(deadline):
            return await turn.next_reading()
    except TimeoutError:
        raise UnavailableError("The turn is still running.") from None


async def follow_settled(record: TurnRecord) -> AsyncIterator[TurnEvent]:
    """Yield the whole of a turn that was settled before."""
    place = START.within(record)
    yield _accepted(record, place)
    for event in _settled(record, place, replayed=True):
        yield event


def _text_of(message: MessageRow) -> str:
    """Return what was written of a reply: the sentence that stands for a failed one is no part."""
    error = message.metadata.get("error") or {}
    return "" if message.content == error.get("message") else message.content


def _settled(record: TurnRecord, place: Place, *, replayed: bool) -> list[TurnEvent]:
    """Return the events that end a stream: the rest of the text, the stored reply, `done`.

    Raises TurnInProgressError if the turn still runs.
    """
    if record.reply is None:
        raise turn_in_progress(record)
    events = []
    if record.turn.attempt != place.attempt:
        place = place.within(record)
        events.append(_accepted(record, place))
    rest = _text_of(record.reply)[place.offset :]
    if rest:
        events.append(replace(_delta(record, place, rest), is_rest=True))
        place = place.after(rest)
    success = record.reply.metadata.get("success", False)
    done = {
        "success": success,
        "conversationId": str(record.conversation.id),
        "turnId": str(record.turn.id),
        "replayed": replayed,
    }
    return [
        *events,
        _status(record, "idle" if success else "error", place),
        TurnEvent("message", record.reply.model_dump(mode="json"), place),
        TurnEvent("done", done, place),
    ]


def _accepted(record: TurnRecord, place: Place) -> TurnEvent:
    data = {
        "turnId": str(record.turn.id),
        "conversationId": str(record.conversation.id),
        "attempt": record.turn.attempt,
        "offset": place.offset,
        "userMessage": record.user_message.model_dump(mode="json"),
    }
    return TurnEvent("accepted", data, place)


def _status(record: TurnRecord, status: str, place: Place) -> TurnEvent:
    return TurnEvent("status", {"turnId": str(record.turn.id), "status": status}, place)


def _event_of(record: TurnRecord, change: StatusChange | Change, place: Place) -> TurnEvent:
    match change:
        case StatusChange():
            return _status(record, change.status, place)
        case PartChange():
            says = {"index": change.index, "offset": change.offset, "part": change.part}
            return TurnEvent("part", {"turnId": str(record.turn.id), **says}, place)
        case PartPiece():
            says = {"index": change.index, "offset": change.offset, "text": change.text}
            return TurnEvent("part-delta", {"turnId": str(record.turn.id), **says}, place)
        case TextPiece():
            return _delta(record, place, change.text)


def _delta(record: TurnRecord, place: Place, text: str) -> TurnEvent:
    data = {"turnId": str(record.turn.id), "offset": place.offset, "text": text}
    return TurnEvent("delta", data, place.after(text))
