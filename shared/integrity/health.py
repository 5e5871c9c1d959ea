"""Whether the store answers, and how much of what it holds of late is broken: looked at seldom."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ..errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ..persistence import Persistence

GRACE_SECONDS: Final = 120
LOOK_BACK: Final = timedelta(hours=1)
HEALTH_SECONDS: Final = 1.0
DAMAGE_SECONDS: Final = 60.0

T = TypeVar("T")


class Measured(Generic[T]):
    """What a measurement says, which is taken once in `seconds` at most, for all who ask."""

    def __init__(
        self,
        measure: Callable[[], Coroutine[None, None, T]],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._measure = measure
        self._seconds = seconds
        self._clock = clock
        self._begun_at = 0.0
        self._measuring: asyncio.Task[T] | None = None

    async def read(self) -> T:
        """Return what the newest measurement says, or raise what it did; wait for one under way."""
        now, measuring = self._clock(), self._measuring
        if measuring is None or (measuring.done() and now - self._begun_at >= self._seconds):
            self._begun_at = now
            self._measuring = measuring = asyncio.create_task(self._measure())
            measuring.add_done_callback(_see)
        return await asyncio.shield(measuring)


def _see(task: asyncio.Task[T]) -> None:
    """Look at what went wrong: whoever asked may be gone."""
    if not task.cancelled():
        task.exception()


class StoreHealth:
    """The deep health of a process: `read` says what is broken, or raises if the store is down.

    What is broken is counted by check, None if that could not be had. The look is bounded, and
    so no proof: a hundred conversations of the last hour at most, and as many with a stuck turn.
    """

    def __init__(self, persistence: Persistence) -> None:
        self._persistence = persistence
        self._damage = Measured(self._count_damage, seconds=DAMAGE_SECONDS)
        self.read = Measured(self._ask, seconds=HEALTH_SECONDS).read

    async def _ask(self) -> dict[str, int] | None:
        await self._persistence.ping()
        return await self._damage.read()

    async def _count_damage(self) -> dict[str, int] | None:
        since = datetime.now(UTC) - LOOK_BACK
        try:
            step = await self._persistence.check_invariants(
                grace_seconds=GRACE_SECONDS, since=since
            )
        except AppError:
            return None
        counts = Counter(row.name for row in step.broken)
        return {name: counts[name] for name in step.checks}
