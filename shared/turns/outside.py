"""Turns whose writer is no task of this process: each step is a call, to whichever process.

So nothing that counts is kept here. The store has their lease, attempt and draft; a write is the
heartbeat, and whoever writes too late is refused, as every worker is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid5

import structlog

from ..ai.results import engine_error, failed_result
from ..ai.tokens import estimate_tokens
from ..encoding.parts import is_text, text_of
from ..encoding.sizes import MAX_PARTS_BYTES, MAX_TEXT_BYTES, stored_size
from ..errors import PayloadTooLargeError, TurnSupersededError, UnavailableError
from ..models.turns import TurnExtension
from .draft import Draft
from .failpoints import crash_point
from .live_reader import event_of, events_of
from .reply import compose_reply
from .response import turn_in_progress
from .running_turn import StatusChange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ..ai.protocol import Analysis, EngineResult
    from ..config import Settings
    from ..encoding.parts import Part
    from ..models.context import HistoryContext
    from ..models.turns import DraftPart, ExtendedTurn, TurnRecord
    from ..persistence import Persistence
    from .begin import TurnStarter
    from .live_events import LiveEvents
    from .reply import Reply
    from .request import TurnRequest
    from .summaries import Summaries

log = structlog.get_logger(__name__)

# Of a request's stored metadata, what is no part of a reply's.
REQUESTS_OWN = {"projectId", "requestId", "timestamp"}
MOST_CONTEXTS = 1_000


class Attempt(NamedTuple):
    """Who writes: a user's turn, and which attempt at it."""

    user_id: UUID
    turn_id: UUID
    number: int


class OutsideTurns:
    """Begins, writes and ends turns for writers who come back with every step."""

    def __init__(
        self,
        store: Persistence,
        starter: TurnStarter,
        live_events: LiveEvents,
        summaries: Summaries,
        settings: Settings,
    ) -> None:
        self._store = store
        self._starter = starter
        self._live_events = live_events
        self._summaries = summaries
        self._settings = settings
        # By turn, for a summary after its end; one that ends elsewhere leaves that to a later one.
        self._contexts: dict[UUID, HistoryContext] = {}

    async def begin(self, request: TurnRequest, *, lease_seconds: int | None = None) -> TurnRecord:
        """Commit the user's message and open its turn, or return the reply its key led to.

        Raises TurnInProgressError while it runs, or another one of the conversation does.
        """
        record = await self._starter.begin_stored(request, lease_seconds=lease_seconds)
        if record.outcome == "in_progress":
            raise turn_in_progress(record)
        if record.context is not None:
            self._contexts[record.turn.id] = record.context
            if len(self._contexts) > MOST_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
        return record

    async def write(
        self,
        writer: Attempt,
        *,
        offset: int,
        text: str = "",
        parts: Sequence[Part] = (),
        version: int = 0,
        lease_seconds: int | None = None,
    ) -> ExtendedTurn:
        """Renew the lease, and write text, and parts behind it, where the draft is at this place.

        The place is so many characters of text, and so many changes of parts. So a write can be
        repeated, and leaves no hole: elsewhere nothing is written, and what is returned says where
        to go on. Raises TurnSupersededError, PayloadTooLargeError where the draft has no more
        room, and UnavailableError if the turn is just being ended or stopped.
        """
        needs_parts = parts or (text and version)
        stored = await self._parts_of(writer) if needs_parts else []
        draft = Draft.stored(stored, before=offset)
        if draft.version == version and draft.begun_at <= offset:
            if text:
                draft.write(text)
            for part in parts:
                draft.add(part)
        extension = TurnExtension(
            user_id=writer.user_id,
            turn_id=writer.turn_id,
            attempt=writer.number,
            draft_offset=offset,
            draft_tail=draft.text_from(offset),
            draft_parts=draft.entries_since(version) or None,
            parts_version=version,
            tokens=None,
        )
        turn = await self._extend(writer, extension, lease_seconds)
        is_taken = (turn.draft_length, turn.parts_version) == (draft.length, draft.version)
        is_new = draft.length > offset or draft.version > version
        if is_new and is_taken:
            self._pass_on(writer, turn, draft, offset=offset, version=version)
        elif is_new and _has_stayed(turn, offset, draft.length, version):
            raise PayloadTooLargeError("The reply has no room for more: complete it, or fail.")
        return turn

    async def _parts_of(self, writer: Attempt) -> list[DraftPart]:
        """Return the parts of a draft, without its text."""
        news = await self._store.follow_turn(
            writer.user_id, writer.turn_id, attempt=writer.number, draft_offset=MAX_TEXT_BYTES
        )
        return news.draft_parts

    async def _extend(
        self, writer: Attempt, extension: TurnExtension, lease_seconds: int | None
    ) -> ExtendedTurn:
        lease = lease_seconds or self._settings.lease_seconds
        extended = await self._store.extend_turns([extension], lease_seconds=lease)
        crash_point("mid_stream")
        if not extended.turns:
            raise UnavailableError(retry_after=1)
        (turn,) = extended.turns
        if not turn.is_ours:
            raise await self._superseded(writer)
        return turn

    def _pass_on(
        self, writer: Attempt, turn: ExtendedTurn, draft: Draft, *, offset: int, version: int
    ) -> None:
        if turn.conversation_id is None:
            return
        begins = [] if offset or version else [StatusChange(0, "generating")]
        changes = [*begins, *draft.changes_since(offset, version)]
        event = event_of(turn.conversation_id, writer.turn_id, writer.number)
        self._live_events.pass_on([new for change in changes for new in events_of(change, event)])

    async def complete(
        self,
        writer: Attempt,
        result: EngineResult,
        *,
        analysis: Analysis | None = None,
        parts: Sequence[Part] = (),
    ) -> TurnRecord:
        """Commit the reply: what was written, unless other text or parts with text are given.

        The same attempt may say so again: its first reply counts. Raises TurnNotFoundError,
        TurnSupersededError.
        """
        record = await self._store.load_turn(writer.user_id, writer.turn_id, caller=None)
        if not text_of(parts):
            whole = _whole(record, result.message, parts)
            result, parts = result.model_copy(update={"message": whole.text}), whole.parts()
            if stored_size(parts) > MAX_PARTS_BYTES:
                raise PayloadTooLargeError("The reply has no room for these parts.")
        reply = _reply_of(record, _told(result, parts), analysis, parts)
        crash_point("after_model")
        done = await self._store.complete_turn(
            user_id=writer.user_id,
            turn_id=writer.turn_id,
            attempt=writer.number,
            message_id=uuid5(writer.turn_id, f"reply of attempt {writer.number}"),
            tokens=record.turn.tokens + reply.tokens,
            **reply.columns(),
        )
        crash_point("after_complete")
        if done.outcome != "completed":
            raise await self._superseded(writer)
        log.info("message_saved", role="assistant", turn_id=str(writer.turn_id))
        context = self._contexts.pop(writer.turn_id, None)
        self._summaries.after_reply(record.model_copy(update={"context": context}), reply.content)
        return record.ended(done)

    async def _superseded(self, writer: Attempt) -> TurnSupersededError:
        """Return the error that says how the turn stands; raise TurnNotFoundError for none."""
        record = await self._store.load_turn(writer.user_id, writer.turn_id, caller=None)
        return TurnSupersededError(
            details={
                "turnId": str(writer.turn_id),
                "status": record.turn.status,
                "attempt": record.turn.attempt,
            }
        )


def _told(result: EngineResult, parts: Sequence[Part]) -> EngineResult:
    """Return a result that says why it failed; one without text or parts has."""
    if result.success and (result.message.strip() or parts):
        return result
    return failed_result(
        result.error or engine_error("empty_reply"),
        engine=result.engine,
        partial=result.message,
        usage=result.usage,
        metadata=result.metadata,
    )


def _reply_of(
    record: TurnRecord, result: EngineResult, analysis: Analysis | None, parts: Sequence[Part]
) -> Reply:
    request = record.user_message
    estimated = estimate_tokens(request.content) + estimate_tokens(result.message)
    own = {k: v for k, v in request.metadata.items() if k not in REQUESTS_OWN}
    return compose_reply(
        result,
        parts=parts,
        analysis=analysis,
        duration=record.seconds,
        own_metadata=own,
        tokens=(result.usage.tokens if result.usage else 0) or estimated,
    )


def _has_stayed(turn: ExtendedTurn, offset: int, length: int, version: int) -> bool:
    """Whether a draft is still where it was before it was to become as long as this."""
    is_between = offset <= (turn.draft_length or 0) <= length
    return is_between and turn.parts_version == version


def _whole(record: TurnRecord, content: str, parts: Sequence[Part]) -> Draft:
    """Return what was written with these parts behind it, of which none is text.

    If the text is to be another, the parts that were written stand before it.
    """
    draft = Draft.stored(record.draft_parts, text=record.draft)
    if content not in {"", record.draft}:
        others = [part for part in draft.parts() if not is_text(part)]
        draft = Draft()
        for part in others:
            draft.add(part)
        draft.write(content)
    for part in parts:
        draft.add(part)
    return draft
