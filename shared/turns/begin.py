"""Begins turns: commits the user's message and sets a worker to the turn, both or neither."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from ..errors import StoreUnavailableError, UnauthorizedError, UserNotFoundError
from ..observability import telemetry
from .failpoints import crash_point
from .histories import Histories
from .in_doubt import InDoubtBegins
from .reply import user_metadata
from .response import turn_in_progress
from .running_turn import RunningTurn

if TYPE_CHECKING:
    from uuid import UUID

    from ..config import Settings
    from ..models.turns import MegaMindRequest, TurnRecord
    from ..persistence import Persistence
    from .heartbeat import Heartbeat
    from .live_events import LiveEvents
    from .registry import TurnRegistry
    from .request import TurnRequest
    from .worker import TurnWorker

log = structlog.get_logger(__name__)


class Begun(NamedTuple):
    """What a request's key led to in the store, and the turn itself where it runs here."""

    record: TurnRecord
    running: RunningTurn | None


def asked_of(body: MegaMindRequest, record: TurnRecord) -> MegaMindRequest:
    """Return what the AI is asked: a turn that regenerates asks what was asked before."""
    if body.regenerates is None:
        return body
    asked = record.user_message
    return body.model_copy(update={"request": asked.content, "parts": asked.parts})


class TurnStarter:
    """Begins turns, takes over those whose worker is gone, and finds those that are known."""

    def __init__(
        self,
        store: Persistence,
        registry: TurnRegistry,
        worker: TurnWorker,
        heartbeat: Heartbeat,
        live_events: LiveEvents,
        settings: Settings,
    ) -> None:
        self._store = store
        self._registry = registry
        self._worker = worker
        self._heartbeat = heartbeat
        self._live_events = live_events
        self._settings = settings
        # A turn that is begun again this way still has its lease when its first heartbeat comes.
        spent = settings.store_timeout + settings.heartbeat_seconds
        self._histories = Histories()
        self._in_doubt = InDoubtBegins(seconds=settings.lease_seconds - spent)

    async def begin(self, request: TurnRequest) -> Begun:
        """Commit the user's message and set a worker to it, or find what the key led to.

        Both or neither, also if the caller goes away in between: a turn that is committed and
        not worked on would keep everybody waiting for the end of its lease.

        Raises TurnInProgressError if it is another turn that runs.
        """
        task = self._registry.start(self._begin_and_work(request))
        await asyncio.wait({task})  # which leaves the task alone where the caller is cancelled
        begun = task.result()
        if begun.record.turn.idempotency_key != request.idempotency_key:
            raise turn_in_progress(begun.record)
        return begun

    async def _begin_and_work(self, request: TurnRequest) -> Begun:
        async with self._registry.admit(request.user_id):
            record = await self.begin_stored(request)
            if record.outcome in {"started", "taken_over"}:
                return Begun(record, self._work_on(record, request))
            is_open = record.reply is None
            return Begun(record, self._registry.find(record.turn.id) if is_open else None)

    async def begin_stored(
        self, request: TurnRequest, *, lease_seconds: int | None = None
    ) -> TurnRecord:
        """Commit the user's message, or find what the key led to; set nobody to work."""
        crash_point("before_begin")
        key = (request.user_id, request.idempotency_key)
        begin = self._in_doubt.take(key)
        saving = log.bind(message_id=str(begin.message_id), role="user")
        saving.info("message_saving")
        try:
            record = await self._ask_to_begin(
                request, begin.message_id, lease_seconds or self._settings.lease_seconds
            )
        except StoreUnavailableError:
            self._in_doubt.keep(key, begin)
            raise
        except UnauthorizedError as exc:  # there is no such account
            if request.caller.is_service:
                raise UserNotFoundError from exc
            raise
        crash_point("after_begin")
        telemetry.count("turns.begun", outcome=record.outcome)
        ids = {"conversation_id": str(record.conversation.id), "turn_id": str(record.turn.id)}
        if record.outcome == "started":
            saving.info("message_saved", **ids, seq=record.user_message.seq)
        else:
            log.info("turn_known", outcome=record.outcome, **ids)
        return record

    async def _ask_to_begin(
        self, request: TurnRequest, message_id: UUID, lease_seconds: int
    ) -> TurnRecord:
        body, settings = request.body, self._settings
        known = self._histories.known(request.user_id, body.conversation_id)
        record = await self._store.begin_turn(
            user_id=request.user_id,
            idempotency_key=request.idempotency_key,
            request_hash=request.fingerprint(),
            request=body.request,
            message_id=message_id,
            conversation_id=body.conversation_id,
            project_id=body.project_id,
            metadata=user_metadata(body.project_id, body.metadata),
            parts=body.message_parts,
            lease_seconds=lease_seconds,
            history_tokens=settings.history_tokens,
            turns_per_minute=settings.turns_per_minute,
            turns_per_day=settings.turns_per_day,
            tokens_per_day=settings.tokens_per_day,
            edits=body.edits,
            regenerates=body.regenerates,
            opens_conversation=request.opens_conversation,
            known_from=known.first if known else None,
            known_id=known.newest_id if known else None,
            known_tokens=known.tokens if known else None,
        )
        return self._histories.completed(record, known)

    def _work_on(self, record: TurnRecord, request: TurnRequest) -> RunningTurn:
        """Let the worker that still has the turn here go on as this attempt, or set one to it.

        So that the store was away for longer than a lease costs no second run of the AI.
        """
        older = self._registry.find(record.turn.id)
        if older is not None and older.is_worked_on:
            log.info("turn_adopted", turn_id=str(older.id), attempt=record.turn.attempt)
            older.adopt(record)
            return older
        is_new = record.outcome == "started"
        running = RunningTurn(
            record,
            asked_of(request.body, record),
            persisted_after=time.monotonic() - request.arrived_at if is_new else None,
            # One that had lost the turn before this attempt was known here may have the reply.
            reply=older.reply if older is not None else None,
            engine=request.engine,
        )
        if older is not None and older.reply is not None:
            running.earlier_tokens = older.earlier_tokens
        self._registry.add(running, self._worker.work(running))
        self._heartbeat.start()
        self._live_events.start()
        return running
