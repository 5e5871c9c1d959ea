"""Retention goes on user by user until it is done, or has done as much as was asked for."""

import uuid
from typing import Any

import pytest

from shared.conversations import retention
from shared.conversations.retention import apply_retention
from shared.errors import StoreUnavailableError
from shared.models.retention import (
    ApplyRetentionRequest,
    ApplyRetentionResponse,
    ListedUsers,
    RemovedRows,
    RetentionPlace,
)
from shared.persistence import Persistence

USERS = [uuid.uuid4() for _ in range(250)]


class Due(Persistence):
    """A store in which users have conversations to delete, so many each; it lists one a page."""

    def __init__(self, *counts: int) -> None:
        self.left = dict(zip(USERS, counts, strict=False))
        self.beside = 0  # in each step, how many are archived, and how many skipped
        self.refused: set[uuid.UUID] = set()
        self.calls: list[tuple[uuid.UUID, int]] = []

    async def list_users_due_for_retention(
        self, *, place: RetentionPlace | None, project_id: uuid.UUID | None
    ) -> ListedUsers:
        """One who has some left, and the one before again: who has much idle is on many pages."""
        assert project_id is None
        number = int(place.after_updated_at) if place else 0
        due = [*self.left][max(number - 1, 0) : number + 1]
        place = RetentionPlace(after_updated_at=str(number + 1), after_id=USERS[0])
        return ListedUsers(
            users=[user for user in due if self.left[user]],
            next=place if number + 1 < len(self.left) else None,
        )

    async def apply_retention(
        self, user_id: uuid.UUID, *, dry_run: bool, most: int, project_id: uuid.UUID | None
    ) -> ApplyRetentionResponse:
        """Delete so many at most."""
        assert project_id is None
        if user_id in self.refused:
            raise StoreUnavailableError
        self.calls.append((user_id, most))
        done = min(most, self.left[user_id])
        more = self.left[user_id] > done
        if not dry_run:
            self.left[user_id] -= done
        return ApplyRetentionResponse(
            dry_run=dry_run, archived=self.beside, skipped=self.beside, more=more,
            deleted=RemovedRows(conversations=done, messages=2 * done, turns=done),
        )  # fmt: skip


def asked(**given: Any) -> ApplyRetentionRequest:
    """Return a request as it comes."""
    names = {"dry_run": "dryRun", "user_id": "userId"}
    return ApplyRetentionRequest.model_validate(
        {names.get(name, name): value for name, value in given.items()}
    )


@pytest.mark.parametrize("dry_run", [True, False])
async def test_users_follow_each_other_and_are_added_up(dry_run: bool) -> None:
    """A dry run says exactly what the real one does."""
    store = Due(3, 1, 2)
    store.beside = 1
    done = await apply_retention(store, asked(dry_run=dry_run))
    assert [user for user, _ in store.calls] == USERS[:3]
    assert (done.deleted.conversations, done.deleted.messages, done.more) == (6, 12, False)
    assert (done.archived, done.skipped) == (3, 3)
    assert done.dry_run is dry_run


async def test_no_more_is_done_than_was_asked_for() -> None:
    """Over all users together; `more` says that another call goes on."""
    store = Due(3, 4, 2)
    done = await apply_retention(store, asked(dry_run=False, most=5))
    assert store.calls == [(USERS[0], 5), (USERS[1], 2)]
    assert (done.deleted.conversations, done.more) == (5, True)
    alone = await apply_retention(store, asked(dry_run=False, user_id=USERS[1], most=1))
    assert (alone.deleted.conversations, alone.more) == (1, True)
    assert store.calls[2:] == [(USERS[1], 1)]  # who is named is served, and nobody else


@pytest.mark.parametrize("dry_run", [True, False])
async def test_more_users_than_one_listing_has_are_all_served(dry_run: bool) -> None:
    """Each once; a dry run says that nothing is left, as the real one would."""
    store = Due(*[1] * 250)
    done = await apply_retention(store, asked(dry_run=dry_run))
    assert [user for user, _ in store.calls] == USERS
    assert (done.deleted.conversations, done.more) == (250, False)


async def test_a_user_who_cannot_be_served_keeps_no_other_waiting() -> None:
    """For a user who is named it is an error."""
    store = Due(3, 4, 2)
    store.refused.add(USERS[0])
    done = await apply_retention(store, asked(dry_run=False))
    assert store.left == dict(zip(USERS, (3, 0, 0), strict=False))
    assert (done.deleted.conversations, done.more) == (6, False)
    with pytest.raises(StoreUnavailableError):
        await apply_retention(store, asked(dry_run=False, user_id=USERS[0]))


@pytest.mark.parametrize("counts", [(3, 4, 2), (0, 0, 2)], ids=["in a page", "behind one"])
async def test_a_run_ends_before_its_caller_does(
    monkeypatch: pytest.MonkeyPatch, counts: tuple[int, ...]
) -> None:
    """What is left is said."""
    monkeypatch.setattr(retention, "SECONDS", -1)
    store = Due(*counts)
    done = await apply_retention(store, asked(dry_run=False))
    assert (store.calls, done.more) == ([], True)
