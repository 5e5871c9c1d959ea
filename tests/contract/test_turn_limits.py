"""What a user may begin and spend, the same in memory and by each real road."""

from typing import Any
from uuid import uuid4

import pytest

from shared.errors import (
    TooManyTokensError,
    TooManyTurnsError,
)
from tests.support import turn_roads
from tests.support.turn_roads import Road

road = turn_roads.road


@pytest.mark.promise("limits", red="turns alone counted")
async def test_only_so_many_turns_may_begin(road: Road) -> None:
    """What stores nothing counts, and what was deleted; whatever finds a turn doesn't.

    The error says when to come back.
    """
    limits: dict[str, Any] = {
        "turns_per_minute": 2,
        "turns_per_day": None,
        "tokens_per_day": None,
    }
    await road.begin(idempotency_key="k", **limits)
    assert (await road.store.count_unstored_turn(user_id=road.user_id, **limits)).id
    for refused, least, most in (
        (road.begin(**limits), 20, 60),
        (road.store.count_unstored_turn(user_id=road.user_id, **limits), 20, 60),
        (road.begin(turns_per_minute=None, turns_per_day=2), 86_000, 86_400),
    ):
        with pytest.raises(TooManyTurnsError) as caught:
            await refused
        assert least <= (caught.value.retry_after or 0) <= most
    known = await road.begin(idempotency_key="k", **limits)
    assert known.outcome == "in_progress"
    busy = await road.begin(conversation_id=known.conversation.id, **limits)
    assert (busy.outcome, busy.turn.id) == ("in_progress", known.turn.id)
    await road.delete(known.conversation.id)
    with pytest.raises(TooManyTurnsError):
        await road.begin(**limits)
    assert (await road.begin(turns_per_minute=3, turns_per_day=3)).outcome == "started"


@pytest.mark.promise("costs", red="complete_turn leaves tokens as they are")
async def test_no_turn_begins_when_a_days_tokens_are_spent(road: Road) -> None:
    """Those of running, settled and deleted turns, of runs that store nothing, and of summaries."""
    limit: dict[str, Any] = {"tokens_per_day": 100}
    limits = {"turns_per_minute": None, "turns_per_day": None, **limit}
    running, settled, deleted = [await road.begin(**limit) for _ in range(3)]
    await road.extend(running, tokens=20)
    await road.extend(settled, tokens=1_000)
    await road.complete(settled, tokens=30)
    await road.complete(deleted, tokens=10)
    await road.delete(deleted.conversation.id)
    unstored = await road.store.count_unstored_turn(user_id=road.user_id, **limits)
    for turn_id in (unstored.id, settled.turn.id, deleted.turn.id):
        counted = await road.store.add_tokens(road.user_id, turn_id, tokens=13)
        assert counted.is_counted
    assert not (await road.store.add_tokens(road.user_id, uuid4(), tokens=1)).is_counted
    known = await road.begin(idempotency_key="k", **limit)
    await road.complete(known, tokens=1)
    for refused in (
        road.begin(**limit),
        road.store.count_unstored_turn(user_id=road.user_id, **limits),
    ):
        with pytest.raises(TooManyTokensError) as caught:
            await refused
        assert 80_000 < (caught.value.retry_after or 0) <= 86_400
    assert (await road.begin(idempotency_key="k", **limit)).outcome == "replayed"
    assert (await road.begin(tokens_per_day=101)).outcome == "started"


async def test_a_taken_over_turn_says_what_the_attempts_before_took(road: Road) -> None:
    """So that the next worker adds to it, and what nobody settled is counted as far as known."""
    record = await road.begin(idempotency_key="k")
    await road.extend(record, lease_seconds=0, tokens=70)
    taken = await road.begin(idempotency_key="k")
    assert (taken.outcome, taken.turn.tokens) == ("taken_over", 70)
