"""A process's part of a project's event budget: what is owed, and when there is room again."""

import asyncio

import pytest

from shared.shares import Places
from shared.turns.event_budget import MOST_DEBT, EventBudget
from shared.turns.registry import TurnRegistry
from tests.support.heart import begun_turn
from tests.support.waiting import until


async def budget_of(turns: int, *, in_project: int = 0, per_second: float = 20) -> EventBudget:
    """Return the budget of a process that runs so many of the project's turns."""
    registry = TurnRegistry(Places(each=100))
    registry.in_project = in_project
    for _ in range(turns):
        registry.add(await begun_turn(), asyncio.sleep(10_000))
    return EventBudget(registry, per_second=per_second)


@pytest.mark.parametrize(
    ("turns", "in_project", "rate"), [(0, 0, 20), (1, 0, 20), (5, 5, 20), (5, 20, 5), (5, 3, 20)]
)
async def test_a_process_has_the_part_of_its_turns(
    turns: int, in_project: int, rate: float
) -> None:
    """As of the last heartbeat, which may know of fewer than have begun here since."""
    assert (await budget_of(turns, in_project=in_project)).rate == rate


async def test_text_has_the_room_of_a_second_once_all_is_paid_for() -> None:
    """Of one event at least, however small the part; time without events saves nothing up."""
    budget, small = await budget_of(1), await budget_of(1, in_project=100)
    await asyncio.sleep(100)
    assert (budget.room(), small.room()) == (20, 1)
    budget.spend(20)
    await asyncio.sleep(0.9)
    assert budget.room() == 0
    await asyncio.sleep(0.2)
    assert budget.room() == 20


async def test_after_the_busiest_hour_text_is_back_within_a_minute() -> None:
    """What Realtime itself has forgotten by then needs no more paying for."""
    budget = await budget_of(1)
    for _ in range(3_600):
        budget.spend(1_000)
        await asyncio.sleep(1)
    await until(lambda: budget.room() > 0, seconds=MOST_DEBT)
