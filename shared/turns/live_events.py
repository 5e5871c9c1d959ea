"""Live events that no committed row carries: what running turns do and write, as it happens.

A reader of the running turns as any other: it keeps its own position in each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from typing import TYPE_CHECKING

from .event_budget import EventBudget
from .live_reader import GATHER_SECONDS, LiveReader

if TYPE_CHECKING:
    from ..config.types import LiveDeltas
    from .broadcaster import Broadcaster, Event
    from .registry import TurnRegistry
    from .running_turn import RunningTurn

MOST_EVENTS = 100  # of one request; Realtime refuses it whole if it is over the limit with it
COMMITTED_EVENTS = 2  # of a begin, and of a complete: a message and a status, which SQL sends


class LiveEvents:
    """Sends what the turns of this process do, all of them in one request at a time.

    A status doesn't wait. Text gathers for a moment, and for longer the more the project's budget
    has to carry: then each turn's text comes in larger pieces.
    """

    def __init__(
        self,
        registry: TurnRegistry,
        broadcaster: Broadcaster,
        *,
        events_per_second: float,
        deltas: LiveDeltas = "all",
    ) -> None:
        self._registry = registry
        self._broadcaster = broadcaster
        self._budget = EventBudget(registry, per_second=events_per_second)
        self._most = int(min(max(events_per_second, 10), MOST_EVENTS))
        self._deltas = deltas
        self._readers: dict[RunningTurn, LiveReader] = {}  # those served last come last
        self._is_urgent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send for as long as there are turns; do nothing if that is so already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send_all(), context=Context())

    async def finish(self, running: RunningTurn) -> None:
        """Send the statuses that listeners lack, and no event of the turn after that.

        Done before the reply is committed, so that no passing event arrives behind the last one.
        The rest of the text comes with that commit. Waits only where a request is under way, or
        the last status isn't the only one left, and then at most the broadcaster's timeout.
        """
        reader = self._reader_of(running)
        self._budget.spend(COMMITTED_EVENTS)
        if reader.is_under_way or (reader.lacks_status and not self._broadcaster.is_silent):
            await self._send_last(reader)
        reader.ended.set()

    def pass_on(self, events: list[Event]) -> None:
        """Send what was written of a turn without a worker, if there is room for it now."""
        if self._deltas == "off" or self._broadcaster.is_silent:
            return
        if self._budget.room() >= len(events):
            self._budget.spend(len(events))
            self._registry.start(self._broadcaster.send(events))

    async def _send_last(self, reader: LiveReader) -> None:
        reader.is_last = True
        self._is_urgent.set()
        self.start()
        try:
            async with asyncio.timeout(self._broadcaster.timeout):
                await reader.ended.wait()
        except TimeoutError:
            self._broadcaster.give_up()

    async def _send_all(self) -> None:
        while self._update_readers():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_urgent.wait(), GATHER_SECONDS)
            self._is_urgent.clear()
            self._update_readers()
            if not self._broadcaster.is_silent:  # what is new then waits, and is sent after it
                await self._send_batch()
            for reader in self._readers.values():
                if reader.is_last and (self._broadcaster.is_silent or not reader.lacks_status):
                    reader.ended.set()

    async def _send_batch(self) -> None:
        before = {reader: reader.position for reader in self._readers.values()}
        readers, events = self._next_batch()
        if not events:
            return
        for reader in readers:
            reader.is_under_way = True
        is_refused = await self._broadcaster.send(events) == "later"
        for reader in readers:
            reader.is_under_way = False
            if is_refused:
                reader.position = before[reader]
        self._budget.spend(len(events))

    def _update_readers(self) -> bool:
        """Let there be a reader for each turn, and for no other; say whether there is any."""
        turns = list(self._registry)
        for gone in self._readers.keys() - set(turns):
            self._readers.pop(gone).ended.set()
        for running in turns:
            self._reader_of(running).start_over()
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
        for reader in self._waiting(now):
            if len(events) >= self._most:
                if reader.has_status:
                    self._is_urgent.set()  # those are next, without a pause
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
        waiting = [
            reader
            for reader in self._readers.values()
            if not reader.ended.is_set() and (reader.has_status or self._may_write(reader, now))
        ]
        return sorted(waiting, key=lambda reader: (not reader.is_last, not reader.has_status))

    def _may_write(self, reader: LiveReader, now: float) -> bool:
        if reader.is_last or self._deltas == "off":
            return False
        is_wanted = self._deltas == "all" or not reader.running.is_streamed
        return is_wanted and reader.has_text(now)
