"""Deep health: asked for often, measured seldom."""

import asyncio
import uuid
from typing import Any

import pytest

from shared.errors import StoreUnavailableError
from shared.integrity.health import Health, Measured, StoreHealth, count_damage
from shared.models.integrity import BrokenRow, InvariantStep


class FakeStore:
    """Counts how often it is asked, and fails where it should."""

    def __init__(self) -> None:
        self.pings = 0
        self.looks = 0
        self.is_down = False

    async def ping(self) -> None:
        """Answer after a while."""
        self.pings += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise StoreUnavailableError

    async def check_invariants(self, **_: Any) -> InvariantStep:
        """Report one broken thing, or fail."""
        self.looks += 1
        if self.is_down:
            raise StoreUnavailableError
        broken = BrokenRow(name="seq_gap", user_id=uuid.uuid4(), id=uuid.uuid4())
        return InvariantStep(checks=["seq_gap"], broken=[broken], rows=1, next=None)


async def test_all_who_ask_at_once_and_soon_after_share_one_measurement() -> None:
    """Then it is taken again, once more for all."""
    store, now = FakeStore(), [0.0]
    measured = Measured(store.ping, seconds=1, clock=lambda: now[0])
    await asyncio.gather(*(measured.read() for _ in range(300)))
    now[0] = 0.9
    await measured.read()
    assert store.pings == 1
    now[0], store.is_down = 1.0, True
    answers = await asyncio.gather(*(measured.read() for _ in range(300)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreUnavailableError}
    assert store.pings == 2


async def test_one_who_goes_away_takes_the_measurement_from_nobody() -> None:
    """Not even the one who was first to ask."""
    store = FakeStore()
    measured = Measured(store.ping, seconds=1)
    first, other = (asyncio.create_task(measured.read()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await other
    assert store.pings == 1


async def test_damage_is_looked_at_more_seldom_than_the_store_is_asked() -> None:
    """It says what is broken; that it could not be had makes health no worse."""
    store = FakeStore()
    health = StoreHealth({"store": store})  # type: ignore[dict-item]
    assert [(await health.read()).broken for _ in range(5)] == [{"seq_gap": 1}] * 5
    assert (store.pings, store.looks) == (1, 1)
    store.is_down = True
    blind = StoreHealth({"store": store})  # type: ignore[dict-item]
    with pytest.raises(StoreUnavailableError):
        await blind.read()
    assert await count_damage(store) is None  # type: ignore[arg-type]


async def test_of_several_stores_health_names_those_that_are_away() -> None:
    """And fails where all are."""
    one, two = FakeStore(), FakeStore()
    two.is_down = True
    found = await StoreHealth({"one": one, "two": two}).read()  # type: ignore[dict-item]
    assert found == Health({"two"}, {"seq_gap": 1})
    one.is_down = True
    with pytest.raises(StoreUnavailableError):
        await StoreHealth({"one": one, "two": two}).read()  # type: ignore[dict-item]
