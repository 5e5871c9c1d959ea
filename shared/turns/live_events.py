"""Live events that no committed row carries: what running turns do and write, as it happens.

A reader of the running turns as any other: it keeps its own position in each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.turns.running_turn import Position, StatusChange, TextPiece

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from shared.turns.broadcaster import Broadcaster, Event
    from shared.turns.registry import TurnRegistry
    from shared.turns.running_turn import RunningTurn

GATHER_SECONDS = 0.1
EVENTS_PER_SECOND = 100  # of one process: what the smallest plan carries
MOST_TURNS = 100  # that share one request
MAX_DELTA = 16_384  # characters of one event; Realtime carries 256 kB on the smallest plan


def conversation_topic(conversation_id: UUID) -> str:
    """Return the private topic of a conversation."""
    return f"conversation:{conversation_id}"


@dataclass(eq=False)
class _Reader:
    """How far the listeners of one turn have it, and whether that is to be all."""

    running: RunningTurn
    attempt: int
    position: Position = field(default_factory=Position)
    is_last: bool = False  # its worker waits for what is left to be sent
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def events(self) -> list[Event]:
        """Return what is new; all of it again where another attempt has adopted the turn."""
        if self.attempt != self.running.attempt:
            self.attempt, self.position = self.running.attempt, Position()
        changes = self.running.changes_since(self.position)
        self.position = self.running.end
        return [event for change in changes for event in _events_of(self.running, change)]

    @property
    def has_news(self) -> bool:
        """Whether there is something to send, or somebody who waits until there isn't."""
        running = self.running
        is_behind = (self.attempt, self.position) != (running.attempt, running.end)
        return self.is_last or is_behind


class LiveEvents:
    """Sends what the turns of this process do, all of them in one request at a time.

    Events gather for a moment and go out at no more than Realtime's rate: with many turns each
    one's text comes in larger pieces.
    """

    def __init__(self, registry: TurnRegistry, broadcaster: Broadcaster) -> None:
        self._registry = registry
        self._broadcaster = broadcaster
        self._readers: dict[RunningTurn, _Reader] = {}  # those served last come last
        self._is_urgent = asyncio.Event()
        self._paced_until = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send for as long as there are turns; do nothing where that is so already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send_all(), context=Context())

    async def finish(self, running: RunningTurn) -> None:
        """Send the rest of a turn's events, and no more of them after that.

        Waits at most the broadcaster's timeout. Done before the reply is committed, so that no
        passing event arrives behind the last one.
        """
        reader = self._reader_of(running)
        reader.is_last = True
        self._is_urgent.set()
        self.start()
        try:
            async with asyncio.timeout(self._broadcaster.timeout):
                await reader.ended.wait()
        except TimeoutError:
            reader.ended.set()
            self._broadcaster.give_up()

    async def _send_all(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._update_readers():
            pause = max(GATHER_SECONDS, self._paced_until - clock())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_urgent.wait(), pause)
            readers = self._next_readers()
            events = [event for reader in readers for event in reader.events()]
            last = [reader for reader in readers if reader.is_last]
            if events:
                await self._broadcaster.send(events)
            for reader in last:
                reader.ended.set()
            self._paced_until = clock() + len(events) / EVENTS_PER_SECOND

    def _update_readers(self) -> bool:
        """Let there be a reader for each turn, and for no other; say whether there is any."""
        turns = list(self._registry)
        for gone in self._readers.keys() - set(turns):
            self._readers.pop(gone).ended.set()
        for running in turns:
            self._reader_of(running)
        return bool(turns)

    def _reader_of(self, running: RunningTurn) -> _Reader:
        return self._readers.setdefault(running, _Reader(running, running.attempt))

    def _next_readers(self) -> list[_Reader]:
        """Return those that are to be sent now, the urgent ones first."""
        self._update_readers()
        self._is_urgent.clear()
        waiting = [r for r in self._readers.values() if r.has_news and not r.ended.is_set()]
        waiting.sort(key=lambda reader: not reader.is_last)
        chosen, rest = waiting[:MOST_TURNS], waiting[MOST_TURNS:]
        for reader in chosen:
            self._readers[reader.running] = self._readers.pop(reader.running)
        if any(reader.is_last for reader in rest):
            self._is_urgent.set()
        return chosen


def _events_of(running: RunningTurn, change: StatusChange | TextPiece) -> Iterator[Event]:
    if isinstance(change, StatusChange):
        yield _event(running, "status", status=change.status)
        return
    for start in range(0, len(change.text), MAX_DELTA):
        piece = change.text[start : start + MAX_DELTA]
        yield _event(running, "delta", offset=change.offset + start, text=piece)


def _event(running: RunningTurn, name: str, **says: Any) -> Event:
    return {
        "topic": conversation_topic(running.record.conversation.id),
        "event": name,
        "payload": {"turnId": str(running.id), "attempt": running.attempt, **says},
        "private": True,
    }
