"""Keeps the leases of the turns that run in this process: all of them in one call to the store."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING

import structlog

from shared.models.turns import TurnExtension
from shared.turns.failpoints import crash_point

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from shared.persistence import Persistence
    from shared.turns.running_turn import RunningTurn

log = structlog.get_logger(__name__)

MOST_TEXT = 2_000_000  # characters of drafts in one call


class Heartbeat:
    """Every `interval` seconds writes the drafts of running turns and renews their leases.

    What the store says of a turn goes into the turn: `lost` where it is another worker's by now,
    `stop` where its owner asked for it. A beat that fails is made up for by the next: a lease
    outlasts a few.
    """

    def __init__(self, persistence: Persistence, *, lease_seconds: int, interval: float) -> None:
        self._persistence = persistence
        self._lease_seconds = lease_seconds
        self._interval = interval
        self._turns: dict[UUID, RunningTurn] = {}
        self._beating: asyncio.Task[None] | None = None

    @contextmanager
    def keeping(self, running: RunningTurn) -> Iterator[None]:
        """Keep this turn's lease for as long as the context is open."""
        turn_id = running.begun.turn.id
        self._turns[turn_id] = running
        if self._beating is None or self._beating.done():
            # It outlives the request that happens to start it, and is no part of its trace.
            self._beating = asyncio.create_task(self._beat_on(), context=Context())
        try:
            yield
        finally:
            if self._turns.get(turn_id) is running:
                del self._turns[turn_id]
            if not self._turns:
                self._stop_beating()

    def _stop_beating(self) -> None:
        """Let the next turn start anew: a task that was told to end may take its time to."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            crash_point("mid_model")
            for batch in self._batches():
                await self._beat(batch)

    def _batches(self) -> Iterator[list[RunningTurn]]:
        """Yield the running turns in groups whose new text fits one call, one turn at least."""
        batch: list[RunningTurn] = []
        size = 0
        for running in list(self._turns.values()):
            unwritten = running.length - running.written
            if batch and size + unwritten > MOST_TEXT:
                yield batch
                batch, size = [], 0
            batch.append(running)
            size += unwritten
        if batch:
            yield batch

    async def _beat(self, batch: list[RunningTurn]) -> None:
        beats = {running.begun.turn.id: _beat_of(running) for running in batch}
        try:
            answer = await self._persistence.extend_turns(
                list(beats.values()), lease_seconds=self._lease_seconds
            )
        except Exception as exc:  # noqa: BLE001 - the lease outlasts a few of these
            log.warning("heartbeat_failed", turns=len(batch), error=type(exc).__name__)
            return
        heard = {beat.turn_id: beat for beat in answer.turns}
        for running in batch:
            beat, told = beats[running.begun.turn.id], heard.get(running.begun.turn.id)
            if told is None or beat.attempt != running.begun.turn.attempt:
                continue  # held by somebody, or adopted since: the next beat knows more
            if not told.is_ours:
                running.lost.set()
                continue
            running.written = beat.draft_offset + len(beat.draft_tail)
            if told.cancel_requested:
                running.stop.set()


def _beat_of(running: RunningTurn) -> TurnExtension:
    return TurnExtension(
        turn_id=running.begun.turn.id,
        attempt=running.begun.turn.attempt,
        draft_offset=running.written,
        draft_tail=running.text_from(running.written),
    )
