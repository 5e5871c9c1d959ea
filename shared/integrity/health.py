"""Whether the store answers, and how much of what it holds of late is broken: looked at seldom."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ..errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from ..persistence import Persistence

GRACE_SECONDS: Final = 120
LOOK_BACK: Final = timedelta(hours=1)
HEALTH_SECONDS: Final = 1.0
DAMAGE_SECONDS: Final = 60.0
PING_SECONDS: Final = 2.0

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


@dataclass(frozen=True)
class Health:
    """Which stores are away, and what of the others is broken, by check: None if not to be had."""

    away: set[str]
    broken: dict[str, int] | None


class StoreHealth:
    """The deep health of a process: `read` says what is broken, or raises if every store is down.

    The look is bounded, and so no proof: of each store two thousand messages of the last hour at
    most, a hundred of their conversations, and as many with a stuck turn.
    """

    def __init__(self, stores: Mapping[str, Persistence]) -> None:
        self._stores = stores
        self._damage = {
            name: Measured(partial(count_damage, store), seconds=DAMAGE_SECONDS)
            for name, store in stores.items()
        }
        self.read = Measured(self._ask, seconds=HEALTH_SECONDS).read

    async def _ask(self) -> Health:
        pings = await asyncio.gather(
            *(self._ping(store) for store in self._stores.values()), return_exceptions=True
        )
        failures = {
            name: failure
            for name, failure in zip(self._stores, pings, strict=True)
            if isinstance(failure, BaseException)
        }
        for failure in failures.values():
            if len(failures) == len(pings) or not isinstance(failure, AppError | TimeoutError):
                raise failure
        return Health(set(failures), await self._broken(self._stores.keys() - failures.keys()))

    async def _ping(self, store: Persistence) -> None:
        """Ask one; of several none keeps the answer about the others waiting."""
        async with asyncio.timeout(PING_SECONDS if len(self._stores) > 1 else None):
            await store.ping()

    async def _broken(self, names: Iterable[str]) -> dict[str, int] | None:
        found = await asyncio.gather(*(self._damage[name].read() for name in names))
        counted = [counts for counts in found if counts is not None]
        if not counted:
            return None
        return {name: sum(counts[name] for counts in counted) for name in counted[0]}


async def count_damage(store: Persistence) -> dict[str, int] | None:
    """Look at what was written of late; return how much is broken, by the name of the check."""
    since = datetime.now(UTC) - LOOK_BACK
    try:
        step = await store.check_invariants(grace_seconds=GRACE_SECONDS, since=since)
    except AppError:
        return None
    counts = Counter(row.name for row in step.broken)
    return {name: counts[name] for name in step.checks}
