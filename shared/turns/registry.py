"""The turns that begin or run in this process, the tasks they run in, and room for so many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from ..shares import Places
    from .running_turn import RunningTurn

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")


class TurnRegistry:
    """Owns the running turns of a process and their tasks; each has a place of its user's."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.in_project = 0  # turns that run in all processes, as of the last heartbeat
        self._running: dict[UUID, RunningTurn] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[RunningTurn]:
        """Iterate over the turns that are worked on here."""
        return iter([running for running in self._running.values() if running.is_worked_on])

    def admit(self, user_id: UUID | None) -> AbstractAsyncContextManager[None]:
        """Hold a place for what begins, or runs and stores nothing; strangers are one user.

        Raises TooManyRequestsError if the user's own are taken, UnavailableError if all are.
        """
        return self._places.taken_by(user_id)

    def add(self, running: RunningTurn, work: Coroutine[Any, Any, None]) -> None:
        """Start the work on a turn, which is found here and holds a place until it has ended."""
        self._running[running.id] = running
        self._places.hold(running.user_id)
        self.start(work).add_done_callback(lambda _: self._leave(running))

    def _leave(self, running: RunningTurn) -> None:
        self._places.give_back(running.user_id)
        self.forget(running)

    def start(self, work: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
        """Start a task that a process which is to end waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever waited for it may be gone

    def forget(self, running: RunningTurn) -> None:
        """Let a turn go that has ended, unless a later attempt at it runs here by now."""
        if self._running.get(running.id) is running:
            del self._running[running.id]

    def find(self, turn_id: UUID) -> RunningTurn | None:
        """Return the turn of an id that came from outside, where it runs here."""
        return self._running.get(turn_id)

    @property
    def working(self) -> frozenset[asyncio.Task[Any]]:
        """What turns are here: a task ends when its turn has begun, the next when it has ended."""
        return frozenset(self._tasks)

    async def drain(self, seconds: float) -> None:
        """Let the turns that run here end; those that take longer are left to be taken over."""
        if not self._tasks:
            return
        log.info("draining", turns=len(self._tasks))
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while self._tasks and (left := deadline - clock()) > 0:
            await asyncio.wait(self._tasks, timeout=left)  # what has begun by then is worked on
        late = self.working
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
