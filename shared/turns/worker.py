"""Works one turn to its end: lets the AI write, keeps the lease, stores the reply.

A worker belongs to the server, not to the request that started it: whoever goes away, it goes on.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import stamina
import structlog

from shared.ai.results import engine_error, failed_result
from shared.encoding.storable import escape_unstorable
from shared.errors import ConversationNotFoundError, StoreUnavailableError, UnavailableError
from shared.observability import telemetry
from shared.turns.context import given_context
from shared.turns.failpoints import crash_point
from shared.turns.live_events import Broadcaster, LiveTurn
from shared.turns.reply import compose_reply
from shared.turns.run_engine import run_engine

if TYPE_CHECKING:
    from uuid import UUID

    from shared.ai.protocol import Analysis, Engine, EngineResult
    from shared.models.turns import TurnRecord
    from shared.persistence import Persistence
    from shared.turns.heartbeat import Heartbeat
    from shared.turns.reply import Reply
    from shared.turns.running_turn import RunningTurn
    from shared.turns.summaries import Summaries

log = structlog.get_logger(__name__)


class TurnLostError(Exception):
    """The turn belongs to another worker now, or is settled: this one has nothing left to do."""


class TurnWorker:
    """What working a turn needs, apart from the turn."""

    def __init__(
        self,
        persistence: Persistence,
        engine: Engine,
        broadcaster: Broadcaster,
        heartbeat: Heartbeat,
        summaries: Summaries,
        *,
        unstored_seconds: float,
    ) -> None:
        self._persistence = persistence
        self._engine = engine
        self._broadcaster = broadcaster
        self._heartbeat = heartbeat
        self._summaries = summaries
        self._unstored_seconds = unstored_seconds

    async def work(self, running: RunningTurn) -> None:
        """Work the turn to its end. Never raises: how it ended is in `running.settled`."""
        begun = running.begun
        live = LiveTurn(
            self._broadcaster,
            conversation_id=begun.conversation.id,
            turn_id=begun.turn.id,
            attempt=begun.turn.attempt,
        )
        try:
            with self._heartbeat.keeping(running):
                reply = running.reply or await self._ask_engine(running, live)
                running.finish(reply)
                _keep_up(running, live)
                live.announce("saving")
                await live.flush()
                running.settle(await self._store(running, reply))
            self._summaries.after_reply(begun, reply.content)
        except TurnLostError:
            running.lost.set()
            attempt = running.begun.turn.attempt
            telemetry.count("turns.ended", outcome="lost")
            log.warning("turn_superseded", turn_id=str(begun.turn.id), attempt=attempt)
            await self._settle_as_stored(running)
        except ConversationNotFoundError as exc:
            log.warning("turn_deleted", turn_id=str(begun.turn.id), attempt=begun.turn.attempt)
            running.fail(exc)
        except Exception as exc:
            log.exception("turn_broke", turn_id=str(begun.turn.id))
            running.fail(exc)
        finally:
            live.close()
            running.fail(UnavailableError())  # only where nothing else has ended it

    async def _ask_engine(self, running: RunningTurn, live: LiveTurn) -> Reply:
        with telemetry.span("engine", engine=self._engine.name):
            return await self._generate(running, live)

    async def _generate(self, running: RunningTurn, live: LiveTurn) -> Reply:
        """Return the engine's reply, or what there is of it where the owner has stopped it."""
        started = time.monotonic()
        context = given_context(running.begun.history, running.begun.context)
        live.announce("thinking")
        running.show("thinking")
        analyses: list[Analysis] = []
        said: list[str] = []  # as the engine said it: what is stored is escaped as a whole

        def hear(text: str) -> None:
            said.append(text)
            _write(running, live, text)

        writing = asyncio.create_task(
            run_engine(
                self._engine,
                request=running.request.request,
                history=context.history,
                on_analysis=analyses.append,
                on_text=hear,
            )
        )
        stopping = asyncio.create_task(running.stop.wait())
        losing = asyncio.create_task(running.lost.wait())
        try:
            await asyncio.wait({writing, stopping, losing}, return_when=asyncio.FIRST_COMPLETED)
            if losing.done() and not writing.done():
                raise TurnLostError
            result = writing.result() if writing.done() else self._stopped("".join(said))
        finally:
            stopping.cancel()
            losing.cancel()
            writing.cancel()
            await asyncio.wait({writing}, timeout=2)
        crash_point("after_model")
        return compose_reply(
            result,
            analysis=analyses[0] if analyses else None,
            duration=time.monotonic() - started,
            own_metadata=running.request.metadata,
            persisted_after=running.persisted_after,
            context=context.told(),
        )

    def _stopped(self, partial: str) -> EngineResult:
        return failed_result(engine_error("cancelled"), engine=self._engine.name, partial=partial)

    async def _store(self, running: RunningTurn, reply: Reply) -> TurnRecord:
        """Store the reply under one id, again and again while the store is away.

        Raises TurnLostError where another worker has the turn, StoreUnavailableError where the
        store stayed away too long: then the lease runs out and a retry starts over.
        """
        begun, message_id = running.begun, uuid4()
        saving = log.bind(
            message_id=str(message_id),
            role="assistant",
            conversation_id=str(begun.conversation.id),
            turn_id=str(begun.turn.id),
        )
        saving.info("message_saving")
        async for retry in stamina.retry_context(
            on=StoreUnavailableError,
            attempts=None,
            timeout=self._unstored_seconds,
            wait_initial=0.1,
            wait_max=3.0,
        ):
            with retry:
                done = await self._complete(running, reply, message_id)
        crash_point("after_complete")
        saving.info("message_saved", status=reply.status)
        error = (reply.error or {}).get("type", "none")
        telemetry.count("turns.ended", outcome=reply.status, error=error)
        return done

    async def _complete(self, running: RunningTurn, reply: Reply, message_id: UUID) -> TurnRecord:
        """Ask once to store the reply, as the attempt that this worker is by now.

        And once more where it was refused as an attempt that has been adopted meanwhile.
        """
        while True:
            turn = running.begun.turn
            done = await self._persistence.complete_turn(
                turn_id=turn.id,
                attempt=turn.attempt,
                message_id=message_id,
                status=reply.status,
                content=reply.content,
                generated_code=reply.generated_code,
                metadata=reply.metadata,
                error=reply.error,
            )
            if done.outcome == "completed":
                return done
            if turn.attempt == running.begun.turn.attempt:
                raise TurnLostError

    async def _settle_as_stored(self, running: RunningTurn) -> None:
        """End with what the store has by now: another worker's reply, or word that it runs."""
        try:
            running.settle(await self._persistence.load_turn(running.begun.turn.id, caller=None))
        except Exception as exc:  # noqa: BLE001 - whoever waits is told
            running.fail(exc)


def _write(running: RunningTurn, live: LiveTurn, text: str) -> None:
    storable, _ = escape_unstorable(text)
    if not running.length:
        live.announce("generating")
        running.show("generating")
        telemetry.measure("turn.first_text", time.monotonic() - running.began_at)
    _keep_up(running, live)
    live.write(running.length, storable)
    running.write(storable)
    crash_point("mid_stream")


def _keep_up(running: RunningTurn, live: LiveTurn) -> None:
    attempt = running.begun.turn.attempt
    if live.attempt != attempt:
        live.go_on_as(attempt, running.text_from(0))
