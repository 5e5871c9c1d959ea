"""What this process may send over Realtime: its turns' part of what the whole project carries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .registry import TurnRegistry

MOST_DEBT = 60.0  # seconds: Realtime's own limit is a mean of no more than a minute


class EventBudget:
    """Events a second of a project, of which every turn that runs in it has the same part.

    Processes don't know each other: each knows its own turns, and how many run in the project as of
    its last heartbeat. Events that can't wait are sent all the same, and text waits until they are
    paid for.
    """

    def __init__(self, registry: TurnRegistry, *, per_second: float) -> None:
        self._registry = registry
        self._per_second = per_second
        self._owed = 0.0  # events sent that are not paid for yet
        self._paid_at = 0.0

    @property
    def rate(self) -> float:
        """Events a second of this process."""
        here = max(sum(1 for _ in self._registry), 1)
        return self._per_second * here / max(here, self._registry.in_project)

    def spend(self, events: int) -> None:
        """Count events that are sent, by this process or by the commits of its turns."""
        self._owed = min(self._still_owed() + events, MOST_DEBT * self.rate)

    def room(self) -> int:
        """Return how many events that can wait may be sent now: those of a second at most."""
        self._owed = self._still_owed()
        return 0 if self._owed else max(int(self.rate), 1)

    def _still_owed(self) -> float:
        before, self._paid_at = self._paid_at, asyncio.get_running_loop().time()
        return max(self._owed - (self._paid_at - before) * self.rate, 0)
