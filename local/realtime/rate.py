"""A bound on how often something happens."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class RateLimit:
    """Allows so many events in any second."""

    def __init__(self, per_second: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._times: deque[float] = deque(maxlen=per_second)
        self._clock = clock

    def allows_now(self) -> bool:
        """Count an event; False where it is one too many, which is not counted."""
        now = self._clock()
        if len(self._times) == self._times.maxlen and now - self._times[0] < 1.0:
            return False
        self._times.append(now)
        return True
