"""One turn from accept to reply: the user's message is committed, the AI works, the reply is.

The heart. It knows the order of things and which turns run here; how they are worked, stored,
watched or answered is elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from shared.errors import (
    ConversationNotFoundError,
    ReplyNotStoredError,
    StoreUnavailableError,
    TurnNotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from shared.observability import telemetry
from shared.turns.context import Context, given_context
from shared.turns.failpoints import crash_point
from shared.turns.follow import POLL_SECONDS, START, tell_settled, watch_running, watch_stored
from shared.turns.in_doubt import InDoubtBegins
from shared.turns.reply import compose_reply, user_metadata
from shared.turns.response import stored_answer, turn_in_progress, unstored_answer, unstored_message
from shared.turns.run_engine import run_engine
from shared.turns.running_turn import RunningTurn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from uuid import UUID

    from shared.ai.protocol import Analysis, Engine
    from shared.auth.caller import Caller
    from shared.config import Settings
    from shared.models.turns import MegaMindRequest, MegaMindResponse, TurnRecord
    from shared.persistence import Persistence
    from shared.turns.follow import Place, TurnEvent
    from shared.turns.worker import TurnWorker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """A request of a verified user, under the key that makes repeating it harmless.

    `arrived_at` is when it came in, by the monotonic clock.
    """

    user_id: UUID
    idempotency_key: str
    request: MegaMindRequest
    caller: Caller
    arrived_at: float = field(default_factory=time.monotonic)

    def request_hash(self) -> str:
        """Return the fingerprint by which two requests under one key are told apart."""
        # Without defaults, so that a field added later leaves older fingerprints as they are.
        told = self.request.model_dump(mode="json", exclude={"user_id"}, exclude_defaults=True)
        canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class TurnRunner:
    """Runs turns: two round trips to the store each, one before the AI and one after."""

    def __init__(
        self, persistence: Persistence, engine: Engine, worker: TurnWorker, settings: Settings
    ) -> None:
        self._persistence = persistence
        self._engine = engine
        self._worker = worker
        self._settings = settings
        self._running: dict[UUID, RunningTurn] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: set[asyncio.Task[TurnRecord]] = set()
        self._taken = 0  # by what has no task of its own: beginnings, and runs that store nothing
        # A turn that is begun again this way still has its lease when its first heartbeat comes.
        spent = settings.store_timeout + settings.heartbeat_seconds
        self._unanswered = InDoubtBegins(seconds=settings.lease_seconds - spent)

    async def run(self, turn: Turn) -> MegaMindResponse:
        """Run a turn and return its answer, or the one its key led to before.

        Raises TurnInProgressError while another turn of the conversation runs,
        IdempotencyKeyReusedError, ConversationNotFoundError, TooManyTurnsError,
        StoreUnavailableError where nothing was stored, ReplyNotStoredError where the reply wasn't.
        """
        deadline = time.monotonic() + self._settings.join_seconds
        while True:
            begun = await self._begin(turn)
            running = self._running.get(begun.turn.id)
            if running is not None and begun.reply is None:
                record = await self._settled(running)
                is_ours = record.turn.attempt == begun.turn.attempt
                replayed = begun.outcome == "in_progress" or not is_ours
                return stored_answer(record, replayed=replayed)
            if begun.outcome == "in_progress":
                begun = await self._settled_elsewhere(begun, turn.caller, deadline)
            if not begun.is_expired:
                return stored_answer(begun, replayed=True)
            # Its worker is gone: begun again under the same key, the turn is taken over.

    async def stream(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        """Run a turn, or find what its key led to, and return its events.

        What `run` would raise before the AI works is raised here, before there is a stream.
        """
        begun = await self._begin(turn)
        if begun.reply is not None:
            return tell_settled(begun)

        async def take_over(_: TurnRecord) -> RunningTurn | None:
            return self._running.get((await self._begin(turn)).turn.id)

        return self._watch(begun.turn.id, turn.caller, place=START, on_expired=take_over)

    async def attach(
        self, turn_id: UUID, *, caller: Caller, place: Place
    ) -> AsyncIterator[TurnEvent]:
        """Return the events of a turn that was begun before, from a place in its draft on.

        Raises TurnNotFoundError where there is none of the caller's.
        """
        running = self._running.get(turn_id)
        if running is None:
            await self._persistence.load_turn(turn_id, caller=caller)
        elif caller.user_id not in {None, running.begun.turn.user_id}:
            raise TurnNotFoundError

        async def settle(expired: TurnRecord) -> None:
            await self._persistence.settle_expired_turn(expired.conversation.id)

        return self._watch(turn_id, caller, place=place, on_expired=settle)

    async def cancel(self, turn_id: UUID, *, caller: Caller) -> TurnRecord:
        """Stop a turn: for good at once, and within a heartbeat where it runs elsewhere."""
        record = await self._persistence.cancel_turn(turn_id, user_id=caller.user_id)
        running = self._running.get(turn_id)
        if running is None:
            return record
        running.stop.set()
        return await self._settled(running)

    async def run_unstored(
        self, request: MegaMindRequest, *, user_id: UUID | None, caller: Caller | None
    ) -> MegaMindResponse:
        """Run the AI and store nothing; a conversation that is named is still read first.

        Raises UnavailableError where as many turns run here as may, TooManyTurnsError,
        StoreUnavailableError where it can't be counted towards its user's limits.
        """
        with self._slot():
            context = await self._stored_context(request.conversation_id, user_id, caller)
            await self._count_unstored(user_id)
            started = time.monotonic()
            analyses: list[Analysis] = []
            result = await run_engine(
                self._engine,
                request=request.request,
                history=context.history,
                on_analysis=analyses.append,
                on_text=lambda _: None,
            )
        reply = compose_reply(
            result,
            analysis=analyses[0] if analyses else None,
            duration=time.monotonic() - started,
            own_metadata=request.metadata,
            context=context.told(),
        )
        return unstored_answer(reply, request.conversation_id)

    @property
    def working(self) -> frozenset[asyncio.Task[Any]]:
        """What turns are here: a task ends when its turn has begun, the next when it has ended."""
        return frozenset(self._beginning | self._tasks)

    async def drain(self, seconds: float) -> None:
        """Let the turns that run here end; those that take longer are left to be taken over."""
        if not self.working:
            return
        log.info("draining", turns=len(self.working))
        deadline = time.monotonic() + seconds
        while self.working and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(self.working, timeout=left)  # what has begun by then is worked on
        late = self.working
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _begin(self, turn: Turn) -> TurnRecord:
        """Commit the user's message and set a worker to it, or find what the key led to.

        Both or neither, also where the caller goes away in between: a turn that is committed and
        not worked on would keep everybody waiting for the end of its lease.

        Raises TurnInProgressError where it is another turn that runs.
        """
        task = asyncio.create_task(self._begin_and_work(turn))
        self._beginning.add(task)
        task.add_done_callback(self._begun)
        await asyncio.wait({task})  # which leaves the task alone where the caller is cancelled
        begun = task.result()
        if begun.outcome == "in_progress" and begun.turn.idempotency_key != turn.idempotency_key:
            raise turn_in_progress(begun)
        return begun

    async def _begin_and_work(self, turn: Turn) -> TurnRecord:
        with self._slot():
            begun = await self._begin_stored(turn)
            if begun.outcome in {"started", "taken_over"}:
                self._go_on_with(begun, turn)
        return begun

    def _begun(self, task: asyncio.Task[TurnRecord]) -> None:
        self._beginning.discard(task)
        if not task.cancelled():
            task.exception()  # seen: its caller may be gone

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Take up room for one turn; raise UnavailableError where there is none."""
        if len(self._tasks) + self._taken >= self._settings.max_concurrent_turns:
            raise UnavailableError("Too many turns are running here; try again in a moment.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def _begin_stored(self, turn: Turn) -> TurnRecord:
        crash_point("before_begin")
        key = (turn.user_id, turn.idempotency_key)
        begin = self._unanswered.take(key)
        saving = log.bind(message_id=str(begin.message_id), role="user")
        saving.info("message_saving")
        try:
            begun = await self._ask_to_begin(turn, begin.message_id)
        except StoreUnavailableError:
            self._unanswered.keep(key, begin)
            raise
        crash_point("after_begin")
        telemetry.count("turns.begun", outcome=begun.outcome)
        places = {"conversation_id": str(begun.conversation.id), "turn_id": str(begun.turn.id)}
        if begun.outcome == "started":
            saving.info("message_saved", **places, seq=begun.user_message.seq)
        else:
            log.info("turn_known", outcome=begun.outcome, **places)
        return begun

    async def _ask_to_begin(self, turn: Turn, message_id: UUID) -> TurnRecord:
        settings = self._settings
        return await self._persistence.begin_turn(
            user_id=turn.user_id,
            idempotency_key=turn.idempotency_key,
            request_hash=turn.request_hash(),
            request=turn.request.request,
            message_id=message_id,
            conversation_id=turn.request.conversation_id,
            project_id=turn.request.project_id,
            metadata=user_metadata(turn.request.project_id, turn.request.metadata),
            lease_seconds=settings.lease_seconds,
            history_tokens=settings.history_tokens,
            turns_per_minute=settings.turns_per_minute,
            turns_per_day=settings.turns_per_day,
        )

    def _go_on_with(self, begun: TurnRecord, turn: Turn) -> None:
        """Let the worker that still has the turn here go on as this attempt, or set one to it.

        So that the store was away for longer than a lease costs no second run of the AI.
        """
        older = self._running.get(begun.turn.id)
        if older is not None and older.is_worked_on:
            log.info("turn_adopted", turn_id=str(begun.turn.id), attempt=begun.turn.attempt)
            older.adopt(begun)
            return
        # One that was told of its loss before this attempt was known here may have the reply.
        reply = older.reply if older is not None else None
        waited = _waited(turn, begun)
        self._set_to_work(RunningTurn(begun, turn.request, persisted_after=waited, reply=reply))

    def _set_to_work(self, running: RunningTurn) -> None:
        self._running[running.begun.turn.id] = running
        task = asyncio.create_task(self._worker.work(running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._forget(running))

    def _forget(self, running: RunningTurn) -> None:
        """Let a turn go that has ended, unless a later attempt at it runs here by now."""
        turn_id = running.begun.turn.id
        if self._running.get(turn_id) is running:
            del self._running[turn_id]

    async def _settled(self, running: RunningTurn) -> TurnRecord:
        """Wait for a turn of this process; raise ReplyNotStoredError where storing takes long."""
        while running.reply is None and not running.settled.done():
            await running.change.wait()
        done, _ = await asyncio.wait({running.settled}, timeout=self._settings.store_timeout)
        if done:
            return running.settled.result()
        if running.reply is None:
            raise turn_in_progress(running.begun)
        raise ReplyNotStoredError(
            reply=unstored_message(running.reply).model_dump(mode="json"),
            details={
                "turnId": str(running.begun.turn.id),
                "conversationId": str(running.begun.conversation.id),
            },
        )

    async def _settled_elsewhere(
        self, begun: TurnRecord, caller: Caller, deadline: float
    ) -> TurnRecord:
        """Wait for a turn that another process runs, until it is settled or lost, or too late."""
        record = begun
        while record.reply is None and not record.is_expired and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            record = await self._persistence.load_turn(begun.turn.id, caller=caller)
        return record

    def _watch(
        self,
        turn_id: UUID,
        caller: Caller,
        *,
        place: Place,
        on_expired: Callable[[TurnRecord], Awaitable[RunningTurn | None]],
    ) -> AsyncIterator[TurnEvent]:
        running = self._running.get(turn_id)
        if running is not None:
            return watch_running(running, place=place)
        settings = self._settings
        return watch_stored(
            self._persistence,
            turn_id,
            caller=caller,
            place=place,
            seconds=settings.engine_timeout + settings.lease_seconds,
            on_expired=on_expired,
        )

    async def _count_unstored(self, user_id: UUID | None) -> None:
        """Count a run towards its user's limits; strangers have none, by default nobody has."""
        settings = self._settings
        limits = (settings.turns_per_minute, settings.turns_per_day)
        if user_id is not None and limits != (None, None):
            await self._persistence.count_unstored_turn(
                user_id=user_id,
                turns_per_minute=settings.turns_per_minute,
                turns_per_day=settings.turns_per_day,
            )

    async def _stored_context(
        self, conversation_id: UUID | None, user_id: UUID | None, caller: Caller | None
    ) -> Context:
        if conversation_id is None:
            return given_context([], None)
        if caller is None:
            raise UnauthorizedError
        if caller.is_service:  # which may read anybody's: here it is this user's or none
            found = await self._persistence.get_conversation(conversation_id, caller=caller)
            if found.user_id != user_id:
                raise ConversationNotFoundError
        stored = await self._persistence.load_history(
            conversation_id, history_tokens=self._settings.history_tokens, caller=caller
        )
        return given_context(stored.history, stored.context)


def _waited(turn: Turn, begun: TurnRecord) -> float | None:
    """Return the seconds until this request's message was known to be stored, if it was now."""
    return time.monotonic() - turn.arrived_at if begun.outcome == "started" else None
