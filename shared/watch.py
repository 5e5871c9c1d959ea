"""Follows a turn from the outside, as a stream of events: one that runs here, or anywhere else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.answer import stored_answer
from shared.errors import AppError, InternalError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shared.auth import Caller
    from shared.models.turns import TurnRecord
    from shared.persistence import Persistence
    from shared.running import RunningTurn

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """One event of a stream. `offset` is how much of the draft has been told once it is read."""

    name: str
    data: dict[str, Any]
    offset: int


async def watch_running(running: RunningTurn, *, offset: int = 0) -> AsyncIterator[TurnEvent]:
    """Tell of a turn that runs in this process, from an offset of its draft on."""
    yield _accepted(running.begun, offset)
    told_status = ""
    while True:
        change = running.change  # taken before the state is read, so that none is slept through
        text = running.text_from(offset)
        if running.status != told_status:
            told_status = running.status
            yield _status(running.begun, told_status, offset)
        if text:
            yield _delta(running.begun, offset, text)
            offset += len(text)
        if running.settled.done():
            break
        await change.wait()
    for event in _ending(running, offset):
        yield event


def _ending(running: RunningTurn, offset: int) -> list[TurnEvent]:
    try:
        return settled_events(running.settled.result(), replayed=False, offset=offset)
    except AppError as exc:
        return [TurnEvent("error", exc.body(), offset)]
    except Exception:  # noqa: BLE001 - it is in the log already
        return [TurnEvent("error", InternalError().body(), offset)]


async def watch_stored(
    persistence: Persistence, turn_id: UUID, *, caller: Caller, offset: int = 0, seconds: float
) -> AsyncIterator[TurnEvent]:
    """Tell of a turn that runs in another process, by what it stores as it goes.

    Ends with an error event after `seconds`, or as soon as the turn has no worker any more.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    record = await persistence.load_turn(turn_id, caller=caller)
    yield _accepted(record, offset)
    while record.reply is None:
        text = record.draft[offset:]
        if text:
            yield _delta(record, offset, text)
            offset += len(text)
        if record.is_expired:
            await persistence.settle_expired_turn(record.conversation.id)
        elif asyncio.get_running_loop().time() > deadline:
            yield TurnEvent("error", UnavailableError("The turn is still running.").body(), offset)
            return
        else:
            await asyncio.sleep(POLL_SECONDS)
        record = await persistence.load_turn(turn_id, caller=caller)
    for event in settled_events(record, replayed=True, offset=offset):
        yield event


def settled_events(record: TurnRecord, *, replayed: bool, offset: int) -> list[TurnEvent]:
    """Return the events that end a stream: text not told yet, the stored reply, the answer."""
    answer = stored_answer(record, replayed=replayed).model_dump(mode="json", by_alias=True)
    events = []
    # The sentence that stands for a failed reply is not a part of any draft.
    rest = answer["message"]["content"][offset:] if answer["success"] or offset else ""
    if rest:
        events.append(_delta(record, offset, rest))
        offset += len(rest)
    return [
        *events,
        _status(record, "idle" if answer["success"] else "error", offset),
        TurnEvent("message", answer["message"], offset),
        TurnEvent("done", answer, offset),
    ]


def accepted_events(record: TurnRecord, *, replayed: bool) -> list[TurnEvent]:
    """Return the whole stream of a turn that was settled before."""
    return [_accepted(record, 0), *settled_events(record, replayed=replayed, offset=0)]


def _accepted(record: TurnRecord, offset: int) -> TurnEvent:
    data = {
        "turnId": str(record.turn.id),
        "conversationId": str(record.conversation.id),
        "userMessage": record.user_message.model_dump(mode="json"),
    }
    return TurnEvent("accepted", data, offset)


def _status(record: TurnRecord, status: str, offset: int) -> TurnEvent:
    return TurnEvent("status", {"turnId": str(record.turn.id), "status": status}, offset)


def _delta(record: TurnRecord, offset: int, text: str) -> TurnEvent:
    data = {"turnId": str(record.turn.id), "offset": offset, "text": text}
    return TurnEvent("delta", data, offset + len(text))
