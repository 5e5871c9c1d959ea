"""The metric of broken invariants: asked for often, looked at seldom."""

import uuid
from typing import Any

from shared.errors import StoreUnavailableError
from shared.integrity import FRESH_SECONDS, IntegrityMonitor
from shared.models.integrity import BrokenRow, InvariantStep


class FakeStore:
    """Counts how often it is asked, and fails where it should."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False

    async def check_invariants(self, **_: Any) -> InvariantStep:
        """Report one broken thing."""
        self.asked += 1
        if self.is_down:
            raise StoreUnavailableError
        broken = BrokenRow(name="seq_gap", user_id=uuid.uuid4(), id=uuid.uuid4())
        return InvariantStep(checks=["seq_gap", "seq_tie"], broken=[broken], rows=1, next=None)


async def test_however_often_it_is_read_the_store_is_asked_once_a_minute() -> None:
    """Then again, with what it says by then; a store that is down leaves no counts."""
    store, now = FakeStore(), [0.0]
    monitor = IntegrityMonitor(store, clock=lambda: now[0])  # type: ignore[arg-type]
    assert [await monitor.read() for _ in range(5)] == [{"seq_gap": 1, "seq_tie": 0}] * 5
    assert store.asked == 1
    now[0], store.is_down = FRESH_SECONDS, True
    assert await monitor.read() is None
    assert store.asked == 2
