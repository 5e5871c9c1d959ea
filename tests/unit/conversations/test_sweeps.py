"""A sweep over HTTP: a listing, then a call for each that is listed, until nothing is left."""

import uuid
from collections import Counter
from typing import Any, cast

import pytest

from shared.conversations import sweeps
from shared.conversations.sweeps import sweep_removals, sweep_turns
from shared.errors import StoreUnavailableError
from shared.models.conversations import RemovalStep
from shared.models.retention import ListedUsers
from shared.models.turns import ExpiredTurn, ExpiredTurns, SettledTurns

USERS = [uuid.uuid4() for _ in range(3)]


class Listing:
    """A store with so many steps to take of each user's; what is broken is refused."""

    def __init__(self, *steps: int, broken: uuid.UUID | None = None) -> None:
        self.left = dict(zip(USERS, steps, strict=True))
        self.broken = broken
        self.asked: Counter[uuid.UUID] = Counter()

    async def list_removals(self) -> ListedUsers:
        return ListedUsers(users=[user for user, left in self.left.items() if left])

    async def continue_removal(self, user_id: uuid.UUID) -> RemovalStep:
        self.asked[user_id] += 1
        if user_id == self.broken:
            raise StoreUnavailableError
        self.left[user_id] -= 1
        return RemovalStep(more=self.left[user_id] > 0)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is at it."""
    monkeypatch.setattr(sweeps, "PAUSE", 0)


async def test_every_removal_that_was_begun_is_ended() -> None:
    """Users take turns, so that a long one keeps no short one waiting."""
    store = Listing(3, 1, 2)
    await sweep_removals(cast("Any", store))
    assert [*store.left.values()] == [0, 0, 0]
    assert [*store.asked.values()] == [3, 1, 2]


async def test_one_that_cannot_be_removed_keeps_no_other_from_it() -> None:
    """It is left for the next sweep."""
    store = Listing(3, 1, 2, broken=USERS[0])
    await sweep_removals(cast("Any", store))
    assert [*store.left.values()] == [3, 0, 0]
    assert store.asked[USERS[0]] == 1


async def test_a_sweep_ends_before_its_caller_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is the next one's."""
    monkeypatch.setattr(sweeps, "SECONDS", -1)
    store = Listing(3, 1, 2)
    await sweep_removals(cast("Any", store))
    assert not store.asked


class Expired:
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
    store = Expired()
    assert await sweep_turns(cast("Any", store)) == 2
    assert store.asked == [(turn.user_id, turn.conversation_id) for turn in store.turns]
