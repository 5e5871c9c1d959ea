"""Keeps the leases of the turns that run in this process: all of them in one call to the store."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import structlog

from ..models.turns import TurnExtension
from .failpoints import crash_point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .registry import TurnRegistry
    from .running_turn import RunningTurn
    from .store import TurnStore

log = structlog.get_logger(__name__)

MOST_TEXT = 2_000_000  # characters of drafts in one call


class Heartbeat:
    """Every `interval` seconds writes the drafts of running turns and renews their leases.

    What the store says of a turn goes into the turn: `lost` where it is another worker's by now,
    `stop` where its owner asked for it. A call that fails is made up for by the next: a lease
    outlasts a few.
    """

    def __init__(
        self, registry: TurnRegistry, store: TurnStore, *, lease_seconds: int, interval: float
    ) -> None:
        self._registry = registry
        self._store = store
        self._lease_seconds = lease_seconds
        self._interval = interval
        # How much of its draft the store has of a turn, and of which attempt at it.
        self._written: WeakKeyDictionary[RunningTurn, tuple[int, int]] = WeakKeyDictionary()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keep leases for as long as there are turns; do nothing where that is so already."""
        if self._task is None or self._task.done():
            # It outlives the request that happens to start it, and is no part of its trace.
            self._task = asyncio.create_task(self._keep_leases(), context=Context())

    async def _keep_leases(self) -> None:
        await asyncio.sleep(self._interval)
        while batches := list(self._batches()):
            crash_point("mid_model")
            for batch in batches:
                await self._extend(batch)
            await asyncio.sleep(self._interval)

    def _batches(self) -> Iterator[list[RunningTurn]]:
        """Yield the running turns in groups whose new text fits one call, one turn at least."""
        batch: list[RunningTurn] = []
        size = 0
        for running in self._registry:
            unwritten = running.length - self._offset_of(running)
            if batch and size + unwritten > MOST_TEXT:
                yield batch
                batch, size = [], 0
            batch.append(running)
            size += unwritten
        if batch:
            yield batch

    async def _extend(self, batch: list[RunningTurn]) -> None:
        sent = {running.id: self._extension_of(running) for running in batch}
        try:
            extended = await self._store.extend_turns(
                list(sent.values()), lease_seconds=self._lease_seconds
            )
        except Exception as exc:  # noqa: BLE001 - the lease outlasts a few of these
            log.warning("heartbeat_failed", turns=len(batch), error=type(exc).__name__)
            return
        self._registry.in_project = extended.running
        found = {turn.turn_id: turn for turn in extended.turns}
        for running in batch:
            extension, turn = sent[running.id], found.get(running.id)
            if turn is None or extension.attempt != running.attempt:
                continue  # held by somebody, or adopted since: the next heartbeat knows more
            if not turn.is_ours:
                running.lost.set()
                continue
            written = extension.draft_offset + len(extension.draft_tail)
            self._written[running] = (extension.attempt, written)
            if turn.cancel_requested:
                running.stop.set()

    def _offset_of(self, running: RunningTurn) -> int:
        attempt, written = self._written.get(running, (running.attempt, 0))
        return written if attempt == running.attempt else 0

    def _extension_of(self, running: RunningTurn) -> TurnExtension:
        offset = self._offset_of(running)
        return TurnExtension(
            user_id=running.user_id,
            turn_id=running.id,
            attempt=running.attempt,
            draft_offset=offset,
            draft_tail=running.text_from(offset),
            tokens=running.tokens,
        )
