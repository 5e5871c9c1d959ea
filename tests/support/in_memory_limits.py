"""What the store in memory counts of each user, and refuses."""

from math import ceil
from uuid import UUID

from shared.errors import (
    TooManyTokensError,
    TooManyTurnsError,
)
from tests.support.in_memory_rows import now

PERIODS = {"minute": 60, "day": 86_400}


class MemoryLimits:
    """Turns begun and tokens spent, by user and by when."""

    def __init__(self) -> None:
        self._begun_at: dict[UUID, list[float]] = {}  # by user, what isn't stored too
        self._spent: dict[UUID, tuple[UUID, float, int]] = {}  # by turn: whose, when, tokens

    def _require_turns_left(self, user_id: UUID, **limits: int | None) -> None:
        for name, limit in limits.items():
            begun = self._begun_at.get(user_id, [])
            recent = [at for at in begun if at > now() - PERIODS[name]]
            if limit is not None and len(recent) >= limit:
                oldest = sorted(recent)[-limit] if limit else now()
                wait = max(1, ceil(oldest + PERIODS[name] - now()))
                raise TooManyTurnsError(f"Too many turns this {name}.", retry_after=wait)

    def _require_tokens_left(self, user_id: UUID, limit: int | None) -> None:
        since = now() - PERIODS["day"]
        recent = [
            (at, n)
            for whose, at, n in self._spent.values()
            if (whose, at > since) == (user_id, True)
        ]
        if limit is not None and sum(n for _, n in recent) >= limit:
            raise TooManyTokensError("Too many tokens this day.", retry_after=PERIODS["day"])

    def _begun_of(self, turn_id: UUID) -> float:
        return self._spent[turn_id][1]

    def tokens_of(self, turn_id: UUID) -> int:
        """Return what a turn took."""
        return self._spent[turn_id][2]
