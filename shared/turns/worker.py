"""Works one turn to its end: lets the AI write, keeps what it writes, stores the reply.

A worker belongs to the server, not to the request that started it: whoever goes away, it goes on.
It writes the running turn alone; who follows it reads there.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from ..ai.protocol import PartReady, ReasoningDelta, TextDelta
from ..encoding.ids import new_id
from ..encoding.storable import Escaper
from ..errors import ConversationNotFoundError, StoreUnavailableError, UnavailableError
from ..observability import telemetry
from ..persistence.retries import while_away
from .context import given_context
from .engine_run import EngineRun
from .failpoints import crash_point

if TYPE_CHECKING:
    from uuid import UUID

    from ..ai.protocol import Engine, EngineResult
    from ..config import Settings
    from ..models.turns import CompletedTurn, TurnRecord
    from ..persistence import Persistence
    from .engine_run import ReplyEvent
    from .live_events import LiveEvents
    from .reply import Reply
    from .running_turn import RunningTurn
    from .summaries import Summaries

log = structlog.get_logger(__name__)


class TurnLostError(Exception):
    """The turn belongs to another worker now, or is settled: this one has nothing left to do."""


class TurnWorker:
    """What working a turn needs, apart from the turn."""

    def __init__(
        self,
        store: Persistence,
        engine: Engine,
        live_events: LiveEvents,
        summaries: Summaries,
        settings: Settings,
    ) -> None:
        self._store = store
        self._engine = engine
        self._live_events = live_events
        self._summaries = summaries
        self._store_retry_seconds = settings.store_retry_seconds

    async def work(self, running: RunningTurn) -> None:
        """Work the turn to its end. Never raises: how it ended is in `running.settled`."""
        ids = {"turn_id": str(running.id)}
        try:
            reply = running.reply or await self._ask_engine(running)
            running.finish(reply)
            await self._live_events.finish(running)
            running.settle(await self._store_reply(running, reply))
            self._summaries.after_reply(running.record, reply.content)
        except TurnLostError:
            running.lost.set()
            telemetry.count("turns.ended", outcome="lost")
            log.warning("turn_superseded", **ids, attempt=running.attempt)
            await self._settle_as_stored(running)
        except ConversationNotFoundError as exc:
            log.warning("turn_deleted", **ids, attempt=running.attempt)
            running.fail(exc)
        except Exception as exc:
            log.exception("turn_broke", **ids)
            running.fail(exc)
        finally:
            running.fail(UnavailableError())  # only where nothing else has ended it

    async def _ask_engine(self, running: RunningTurn) -> Reply:
        """Return the engine's reply, or what there is of it where the owner has stopped it."""
        context = given_context(running.record.history, running.record.context)
        engine = running.engine or self._engine
        with telemetry.span("engine", engine=engine.name):
            running.show("thinking")
            run = EngineRun(
                engine, running.request, context, user_id=running.user_id, record=running.record
            )
            running.given_tokens = run.given_tokens
            result = await _result_or_stop(run, running)
            crash_point("after_model")
            return run.reply(result, persisted_after=running.persisted_after)

    async def _store_reply(self, running: RunningTurn, reply: Reply) -> TurnRecord:
        """Store the reply under one id, again and again while the store is away.

        Raises TurnLostError if another worker has the turn, StoreUnavailableError if the
        store stayed away too long: then the lease runs out and a retry starts over.
        """
        message_id = new_id()
        saving = log.bind(
            message_id=str(message_id),
            role="assistant",
            conversation_id=str(running.record.conversation.id),
            turn_id=str(running.id),
        )
        saving.info("message_saving")
        try:
            async with asyncio.timeout(self._store_retry_seconds):
                done = await while_away(
                    partial(self._complete, running, reply, message_id),
                    attempts=None,
                    most_seconds=3.0,
                )
        except TimeoutError as exc:
            raise StoreUnavailableError from exc
        crash_point("after_complete")
        saving.info("message_saved", status=reply.status)
        error = (reply.error or {}).get("type", "none")
        telemetry.count("turns.ended", outcome=reply.status, error=error)
        return running.record.ended(done)

    async def _complete(
        self, running: RunningTurn, reply: Reply, message_id: UUID
    ) -> CompletedTurn:
        """Ask once to store the reply, as the attempt that this worker is by now.

        And once more if it was refused as an attempt that has been adopted meanwhile.
        """
        while True:
            attempt = running.attempt
            done = await self._store.complete_turn(
                user_id=running.user_id,
                turn_id=running.id,
                attempt=attempt,
                message_id=message_id,
                tokens=running.tokens,
                **reply.columns(),
            )
            if done.outcome == "completed":
                return done
            if attempt == running.attempt:
                raise TurnLostError

    async def _settle_as_stored(self, running: RunningTurn) -> None:
        """End with what the store has by now: another worker's reply, or word that it runs."""
        try:
            record = await self._store.load_turn(running.user_id, running.id, caller=None)
            running.settle(record)
        except Exception as exc:  # noqa: BLE001 - whoever waits for the turn gets it
            running.fail(exc)


async def _result_or_stop(run: EngineRun, running: RunningTurn) -> EngineResult:
    """Return the run's result, or what there is of it once it is to stop.

    Raises TurnLostError if the turn is another worker's by then.
    """
    writing = asyncio.create_task(run.result(on_event=lambda event: _write(running, event)))
    either: set[asyncio.Future[Any]] = {writing, running.called_off}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if running.lost.is_set():
            raise TurnLostError
        return writing.result() if writing.done() else run.stopped()
    finally:
        if not writing.done():
            writing.cancel()
            await asyncio.wait({writing}, timeout=2)


def _write(running: RunningTurn, event: ReplyEvent) -> None:
    escaped = Escaper()
    match event:
        case TextDelta():
            if not running.length:
                running.show("generating")
                telemetry.measure("turn.first_text", time.monotonic() - running.began_at)
            running.write(escaped(event.text))
        case ReasoningDelta():
            running.reason(escaped(event.text))
        case PartReady():
            running.add(escaped(event.part))
    crash_point("mid_stream")
