"""Keeps the leases of the turns that run in this process: all of them in one call to the store."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import structlog

from ..models.turns import TurnExtension
from .failpoints import crash_point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Settings
    from ..persistence import Persistence
    from .registry import TurnRegistry
    from .running_turn import RunningTurn

log = structlog.get_logger(__name__)

MOST_TEXT = 2_000_000  # characters of drafts in one call


class _Written(NamedTuple):
    """How much of its draft the store has of a turn, and of which attempt at it."""

    attempt: int
    offset: int = 0
    version: int = 0

    @classmethod
    def by(cls, extension: TurnExtension, *, before: _Written) -> _Written:
        """Return what is written once the store has taken an extension."""
        versions = (entry.version for entry in extension.draft_parts or ())
        return cls(
            extension.attempt,
            extension.draft_offset + len(extension.draft_tail),
            max(versions, default=before.version),
        )


class Heartbeat:
    """Every HEARTBEAT_SECONDS writes the drafts of running turns and renews their leases.

    What the store says of a turn goes into the turn: `lost` where it is another worker's by now,
    `stop` where its owner asked for it. A call that fails is made up for by the next: a lease
    outlasts a few.
    """

    def __init__(self, registry: TurnRegistry, store: Persistence, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._lease_seconds = settings.lease_seconds
        self._interval = settings.heartbeat_seconds
        self._written: WeakKeyDictionary[RunningTurn, _Written] = WeakKeyDictionary()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keep leases for as long as there are turns; do nothing if that is so already."""
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
            unwritten = running.length - self._written_of(running).offset
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
            self._written[running] = _Written.by(extension, before=self._written_of(running))
            if turn.cancel_requested:
                running.stop.set()

    def _written_of(self, running: RunningTurn) -> _Written:
        written = self._written.get(running)
        if written is not None and written.attempt == running.attempt:
            return written
        return _Written(running.attempt)

    def _extension_of(self, running: RunningTurn) -> TurnExtension:
        written = self._written_of(running)
        return TurnExtension(
            user_id=running.user_id,
            turn_id=running.id,
            attempt=running.attempt,
            draft_offset=written.offset,
            draft_tail=running.draft.text_from(written.offset),
            draft_parts=running.draft.entries_since(written.version) or None,
            tokens=running.tokens,
        )
