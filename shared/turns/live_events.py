"""Live events that no committed row carries: what running turns do and write, as it happens.

A reader of the running turns as any other: it keeps its own position in each of them.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

from .event_budget import EventBudget
from .live_reader import GATHER_SECONDS, LiveReader

if TYPE_CHECKING:
    from ..config import Settings
    from .broadcaster import Broadcaster, Event
    from .registry import TurnRegistry
    from .running_turn import RunningTurn

MOST_EVENTS = 100  # of one request; Realtime refuses it whole if it is over the limit with it
COMMITTED_EVENTS = 2  # of a begin, and of a complete: a message and a status, which SQL sends


class LiveEvents:
    """Sends what the turns of this process do, all of them in one request at a time.

    A turn has its first event once it has run for GATHER_SECONDS: what ends sooner is told by its
    commits alone. Text comes in larger pieces the more the project's budget has to carry.
    """

    def __init__(
        self,
        registry: TurnRegistry,
        broadcaster: Broadcaster,
        settings: Settings,
    ) -> None:
        events_per_second = settings.realtime_events_per_second
        self._registry = registry
        self._broadcaster = broadcaster
        self._budget = EventBudget(registry, per_second=events_per_second)
        self._most = int(min(max(events_per_second, 10), MOST_EVENTS))
        self._deltas = settings.live_deltas
        self._readers: dict[RunningTurn, LiveReader] = {}  # those served last come last
        self._has_more = False  # than the last request held
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send for as long as there are turns; do nothing if that is so already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send_all(), context=Context())

    async def finish(self, running: RunningTurn) -> None:
        """Send no event of the turn after this: the commit of its reply says the rest.

        Waits only while a request is under way, which the broadcaster bounds: no passing event is
        to arrive behind the last one.
        """
        reader = self._reader_of(running)
        self._budget.spend(COMMITTED_EVENTS)
        reader.is_ended = True
        await reader.is_resting.wait()

    def pass_on(self, events: list[Event]) -> None:
        """Send what was written of a turn without a worker, if there is room for it now."""
        if self._deltas == "off" or self._broadcaster.is_silent:
            return
        if self._budget.room() >= len(events):
            self._budget.spend(len(events))
            self._registry.start(self._broadcaster.send(events))

    async def _send_all(self) -> None:
        while self._update_readers():
            goes_on = self._has_more and not self._broadcaster.is_silent
            await asyncio.sleep(0 if goes_on else GATHER_SECONDS)
            if not self._broadcaster.is_silent:  # what is new then waits, and is sent after it
                await self._send_batch()

    async def _send_batch(self) -> None:
        before = {reader: reader.position for reader in self._readers.values()}
        readers, events = self._next_batch()
        if not events:
            return
        for reader in readers:
            reader.is_resting.clear()
        is_refused = await self._broadcaster.send(events) == "later"
        for reader in readers:
            reader.is_resting.set()
            if is_refused:
                reader.position = before[reader]
        self._budget.spend(len(events))

    def _update_readers(self) -> bool:
        """Let there be a reader for each turn, and for no other; say whether there is any."""
        turns = list(self._registry)
        for gone in self._readers.keys() - set(turns):
            del self._readers[gone]
        for running in turns:
            self._reader_of(running)
        return bool(turns)

    def _reader_of(self, running: RunningTurn) -> LiveReader:
        if running not in self._readers:
            self._readers[running] = LiveReader(running, running.attempt)
            self._budget.spend(COMMITTED_EVENTS)
        return self._readers[running]

    def _next_batch(self) -> tuple[list[LiveReader], list[Event]]:
        """Return what is sent now, and of whom: statuses first, then text within the budget."""
        now = asyncio.get_running_loop().time()
        room = self._budget.room()
        readers: list[LiveReader] = []
        events: list[Event] = []
        self._has_more = False
        for reader in self._waiting(now):
            if len(events) >= self._most:
                self._has_more = reader.has_status  # those are next, without a pause
                break
            with_text = room > 0 and self._may_write(reader, now)
            if not (with_text or reader.has_status):
                continue
            new = reader.events(with_text=with_text)
            if with_text:
                room -= len(new)
                reader.wrote(now)
            readers.append(reader)
            events += new
        for reader in readers:
            self._readers[reader.running] = self._readers.pop(reader.running)
        return readers, events

    def _waiting(self, now: float) -> list[LiveReader]:
        """Return those of whom there is news, the most urgent first."""
        going_on = [reader for reader in self._readers.values() if reader.goes_on]
        for reader in going_on:
            reader.start_over()
        waiting = [r for r in going_on if r.has_status or self._may_write(r, now)]
        return sorted(waiting, key=lambda reader: not reader.has_status)

    def _may_write(self, reader: LiveReader, now: float) -> bool:
        is_wanted = self._deltas == "all" or not reader.running.is_streamed
        return self._deltas != "off" and is_wanted and reader.has_text(now)
