"""The search index is taken on: for one search, and by a sweep, a step of one user a call."""

import uuid
from typing import Any, cast

import pytest

from shared.conversations import indexing
from shared.conversations.indexing import index_for_search
from shared.conversations.search import find_messages
from shared.conversations.sweeps import sweep_search_index
from shared.errors import StoreUnavailableError
from shared.models.retention import ListedUsers
from shared.models.search import FoundMessages, IndexStep, SearchMessagesRequest

ONE, TWO = uuid.uuid4(), uuid.uuid4()


class Index:
    """A store in which so many messages of each user are to be indexed, ten a step."""

    def __init__(self, left: dict[uuid.UUID, int], *, broken: uuid.UUID | None = None) -> None:
        self.left = left
        self.broken = broken
        self.steps: list[uuid.UUID] = []
        self.searches = 0

    async def list_users_to_index(self) -> ListedUsers:
        return ListedUsers(users=[user for user, left in self.left.items() if left])

    async def index_messages(self, user_id: uuid.UUID) -> IndexStep:
        self.steps.append(user_id)
        if user_id == self.broken:
            raise StoreUnavailableError
        indexed = min(10, self.left[user_id])
        self.left[user_id] -= indexed
        return IndexStep(indexed=indexed, more=self.left[user_id] > 0)

    async def search_messages(self, user_id: uuid.UUID, *_: Any, **__: Any) -> FoundMessages:
        self.searches += 1
        behind = self.left[user_id] > 5
        return FoundMessages(hits=[], parts=False, cut=False, incomplete=behind, next=None)


class BusyIndex(Index):
    """One whose first step is held by somebody else."""

    async def index_messages(self, user_id: uuid.UUID) -> IndexStep:
        if not self.steps:
            self.steps.append(user_id)
            return IndexStep(indexed=0, more=True)
        return await super().index_messages(user_id)


async def search(store: Index) -> bool:
    """Search, and return whether the answer says that it is incomplete."""
    request = SearchMessagesRequest(q="word")
    found = await find_messages(cast("Any", store), ONE, request, caller=cast("Any", None))
    return found.incomplete


async def test_a_sweep_takes_a_step_for_each_user_and_again_for_who_has_more() -> None:
    """Who has much to index waits behind nobody, and nobody behind them for more than a step."""
    store = Index({ONE: 25, TWO: 5})
    await sweep_search_index(cast("Any", store))
    assert store.steps == [ONE, TWO, ONE, ONE]
    assert store.left == {ONE: 0, TWO: 0}


async def test_a_user_whose_messages_cannot_be_indexed_keeps_no_other_from_it() -> None:
    """And is not asked for again in the same sweep."""
    store = Index({ONE: 5, TWO: 15}, broken=ONE)
    await sweep_search_index(cast("Any", store))
    assert store.steps == [ONE, TWO, TWO]


async def test_a_search_that_is_behind_indexes_first_and_searches_again() -> None:
    """All of it, if there is time, and then the answer is whole."""
    store = Index({ONE: 25})
    assert await search(store) is False
    assert (store.searches, store.left[ONE]) == (2, 0)


async def test_a_search_that_is_not_behind_takes_no_step() -> None:
    """A few messages beside the index are no reason."""
    store = Index({ONE: 5})
    assert await search(store) is False
    assert (store.searches, store.steps) == (1, [])


async def test_a_search_without_time_for_the_rest_says_that_it_is_incomplete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One step at least, and the truth."""
    monkeypatch.setattr(indexing, "SEARCH_SECONDS", -1)
    store = Index({ONE: 25})
    assert await search(store) is True
    assert (store.searches, store.steps) == (2, [ONE])


async def test_a_search_is_answered_though_nothing_can_be_indexed() -> None:
    """It says that it is incomplete."""
    assert await search(Index({ONE: 25}, broken=ONE)) is True


async def test_a_step_that_others_hold_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the rest is taken."""
    monkeypatch.setattr(indexing, "PAUSE", 0)
    store = BusyIndex({ONE: 5})
    await index_for_search(cast("Any", store), ONE)
    assert (store.steps, store.left[ONE]) == ([ONE, ONE], 0)
