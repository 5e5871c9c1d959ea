"""Checks everything that is stored, a step at a time, and has what is broken mended."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import StoreUnavailableError
from ..models.integrity import BrokenRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from ..models.integrity import InvariantStep
    from ..persistence import Persistence

ROUNDS = 5  # what one repair brings to light, the next one mends
AT_ONCE = 20  # things that one call mends, so that it ends in time


@dataclass
class Findings:
    """What is broken, by the name of its check: the ids, each with whose it is."""

    checks: list[str] = field(default_factory=list)
    broken: dict[str, dict[UUID, UUID]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, step: InvariantStep) -> None:
        """Count what a step has found; what spans two steps is found once."""
        self.checks = step.checks
        for row in step.broken:
            self.broken[row.name][row.id] = row.user_id

    def of(self, check: str) -> list[UUID]:
        """Return the ids of what a check found."""
        return sorted(self.broken.get(check, ()))

    def by_user(self) -> dict[UUID, list[BrokenRow]]:
        """Return what is broken of each user, in the order in which it can be mended."""
        found: dict[UUID, list[BrokenRow]] = defaultdict(list)
        for name in self.checks:
            for row_id, user_id in self.broken.get(name, {}).items():
                found[user_id].append(BrokenRow(name=name, user_id=user_id, id=row_id))
        return found


async def check_everything(
    store: Persistence, *, grace_seconds: int, say: Callable[[str], None]
) -> Findings:
    """Check all that is stored; `say` is called after each step with how far it is."""
    findings = Findings()
    rows = 0
    place: dict[str, Any] | None = None
    while True:
        step = await store.check_invariants(grace_seconds=grace_seconds, after=place)
        findings.add(step)
        place = step.next
        rows += step.rows
        if place is None:
            return findings
        say(f"{rows} rows looked at, now {place['stage']}")


async def repair_everything(
    store: Persistence, *, grace_seconds: int, say: Callable[[str], None]
) -> tuple[Counter[str], Findings]:
    """Mend what can be mended; return how much that was, and what is still broken."""
    repaired: Counter[str] = Counter()
    for _ in range(ROUNDS):
        findings = await check_everything(store, grace_seconds=grace_seconds, say=say)
        mended = await _repair(store, findings)
        repaired += mended
        if not mended:
            return repaired, findings
    return repaired, await check_everything(store, grace_seconds=grace_seconds, say=say)


async def _repair(store: Persistence, findings: Findings) -> Counter[str]:
    repaired: Counter[str] = Counter()
    for user_id, rows in findings.by_user().items():
        for some in _chunks(rows):
            # Whose rows are in use just now, or can't be mended, keeps no other from a repair.
            with suppress(StoreUnavailableError):
                report = await store.repair_invariants(user_id, some)
                repaired.update(report.repaired)
    return repaired


def _chunks(rows: list[BrokenRow]) -> Iterator[list[BrokenRow]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]
