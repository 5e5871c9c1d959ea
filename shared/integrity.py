"""How much of what is stored recently is broken: a metric, looked at now and then."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.persistence import Persistence

GRACE_SECONDS = 120
LOOK_BACK = timedelta(hours=1)
FRESH_SECONDS = 60.0


class IntegrityMonitor:
    """Counts broken invariants of the last hour, by check.

    The look is bounded, and so no proof: at most a hundred conversations, and as many with a
    stuck turn. However often it is read, the store is asked once a minute at most.
    """

    def __init__(
        self, persistence: Persistence, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._persistence = persistence
        self._clock = clock
        self._counts: dict[str, int] | None = None
        self._looked_at: float | None = None
        self._lock = asyncio.Lock()

    async def read(self) -> dict[str, int] | None:
        """Return the counts; None where they could not be had."""
        async with self._lock:
            if self._looked_at is None or self._clock() - self._looked_at >= FRESH_SECONDS:
                self._looked_at = self._clock()
                self._counts = await self._look()
        return self._counts

    async def _look(self) -> dict[str, int] | None:
        since = datetime.now(UTC) - LOOK_BACK
        try:
            step = await self._persistence.check_invariants(
                grace_seconds=GRACE_SECONDS, since=since
            )
        except AppError:
            return None
        counts = Counter(row.name for row in step.broken)
        return {name: counts[name] for name in step.checks}
