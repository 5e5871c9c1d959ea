"""How much a project's channels carry, counted as hosted Realtime does: sent and delivered."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TICKS_KEPT = 12  # of five seconds each by default: a mean over up to a minute


class Rate:
    """Messages a second over all channels, as a mean that is computed with each tick.

    Whether it is too high shows at a tick too: as with the real server, a burst that ends before
    the next one is seen in its mean alone.
    """

    def __init__(
        self,
        limit: float,
        *,
        tick_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self._tick_seconds = tick_seconds
        self._clock = clock
        self._ticks: deque[int] = deque([0], maxlen=TICKS_KEPT)
        self._count = 0
        self._next_tick = clock() + tick_seconds

    def count(self, messages: int = 1) -> None:
        """Count so many messages, sent or delivered."""
        self._catch_up()
        self._count += messages

    @property
    def mean(self) -> float:
        """Messages a second, as of the last tick."""
        self._catch_up()
        return sum(self._ticks) / len(self._ticks) / self._tick_seconds

    @property
    def is_exceeded(self) -> bool:
        """Whether whoever is delivered a message now loses its channel."""
        return self.mean >= self.limit

    def has_room_for(self, messages: int) -> bool:
        """Whether a batch of so many is taken over HTTP."""
        return self.mean + messages <= self.limit

    def _catch_up(self) -> None:
        overdue = self._clock() - self._next_tick
        if overdue < 0:
            return
        missed = int(overdue // self._tick_seconds)
        self._ticks.append(self._count)
        self._ticks.extend([0] * min(missed, TICKS_KEPT))
        self._count = 0
        self._next_tick += (missed + 1) * self._tick_seconds
