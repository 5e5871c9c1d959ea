"""A sweep over HTTP: a listing, and then one call a turn."""

import uuid
from typing import Any, cast

import pytest

from shared.errors import StoreUnavailableError
from shared.models.turns import ExpiredTurn, ExpiredTurns, SettledTurns
from shared.turns import sweep
from shared.turns.sweep import sweep_turns


class Listing:
    """A store with three turns without a worker, of which one can't be settled."""

    def __init__(self) -> None:
        self.turns = [
            ExpiredTurn(user_id=uuid.uuid4(), conversation_id=uuid.uuid4()) for _ in range(3)
        ]
        self.asked: list[tuple[uuid.UUID, uuid.UUID]] = []

    async def list_expired_turns(self) -> ExpiredTurns:
        return ExpiredTurns(turns=self.turns)

    async def settle_expired_turn(
        self, user_id: uuid.UUID, conversation_id: uuid.UUID
    ) -> SettledTurns:
        self.asked.append((user_id, conversation_id))
        if len(self.asked) == 1:
            raise StoreUnavailableError
        return SettledTurns(settled=1)


async def test_a_turn_that_cannot_be_settled_keeps_no_other_from_it() -> None:
    """Each is asked for by its user and conversation; those that were settled are counted."""
    store = Listing()
    assert await sweep_turns(cast("Any", store)) == 2
    assert store.asked == [(turn.user_id, turn.conversation_id) for turn in store.turns]


async def test_a_sweep_ends_before_its_caller_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is the next one's."""
    monkeypatch.setattr(sweep, "SECONDS", -1)
    store = Listing()
    assert await sweep_turns(cast("Any", store)) == 0
    assert store.asked == []
