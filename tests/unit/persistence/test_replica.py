"""When a replica's answer counts, and when it is left alone."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from shared.auth.caller import Caller
from shared.errors import NotFoundError, StoreUnavailableError
from shared.persistence import replica as module
from shared.persistence.replica import Replica, anything, has_seq
from shared.persistence.rpc import Store
from shared.shares import StorePlaces

ANSWER = {"conversation": {"last_seq": 4}}


class FakeRoad:
    """Answers, raises or hangs as it is told, and counts how often it is asked."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.position = 1
        self.asked = 0

    async def call(
        self, function: str, arguments: Mapping[str, Any], *, caller: Caller | None
    ) -> Any:
        """Count, and do it."""
        if function == "ping":
            return {"position": self.position}
        self.asked += 1
        if self.result is None:
            await asyncio.sleep(3600)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def aclose(self) -> None:
        """Nothing is open."""


async def ask(primary: FakeRoad, copy: FakeRoad, **how: Any) -> Any:
    """Call a function of a store with a replica."""
    store = Store(primary, timeout=5, places=StorePlaces(3), replica=Replica(copy, primary))
    return await store.call("a_function", {}, caller=None, **how)


@pytest.mark.parametrize(("seq", "by_primary"), [(4, 0), (5, 1)])
async def test_an_answer_counts_if_it_has_what_is_known(seq: int, by_primary: int) -> None:
    """Else the store is asked."""
    primary, copy = FakeRoad({"from": "primary"}), FakeRoad(ANSWER)
    await ask(primary, copy, is_enough=has_seq(seq))
    assert (copy.asked, primary.asked) == (1, by_primary)


async def test_only_what_may_be_of_a_moment_ago_is_asked_there() -> None:
    """Everything else is the store's."""
    primary, copy = FakeRoad({"from": "primary"}), FakeRoad(ANSWER)
    assert await ask(primary, copy) == {"from": "primary"}
    assert copy.asked == 0


async def test_what_it_refuses_is_asked_again_of_the_store() -> None:
    """It may not have it yet; and it is asked the next time."""
    copy = Replica(FakeRoad(NotFoundError()), FakeRoad({}))
    for _ in range(2):
        assert await copy.call("f", {}, caller=None, is_enough=anything) is None
    assert copy._road.asked == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("result", [StoreUnavailableError(), None], ids=["away", "hanging"])
async def test_one_that_is_away_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, result: Any
) -> None:
    """Then asked again."""
    monkeypatch.setattr(module, "REPLICA_SECONDS", 0.01)
    road = FakeRoad(result)
    copy = Replica(road, FakeRoad({}))
    for _ in range(3):
        assert await copy.call("f", {}, caller=None, is_enough=anything) is None
    assert road.asked == 1
    copy._rests_until = 0
    await copy.call("f", {}, caller=None, is_enough=anything)
    assert road.asked == 2


async def test_one_that_has_stopped_following_is_left_alone() -> None:
    """It has what was erased since; one that is behind by a moment is asked."""
    primary, road = FakeRoad({}), FakeRoad(ANSWER)
    copy = Replica(road, primary)
    answers = []
    for elapsed, written, replayed in [(0, 1, 1), (7, 2, 1), (7, 3, 2), (7, 4, 2), (60, 5, 4)]:
        copy._looked_at -= elapsed
        copy._rests_until = 0
        primary.position, road.position = written, replayed
        answers.append(await copy.call("f", {}, caller=None, is_enough=anything))
    assert answers == [ANSWER, ANSWER, ANSWER, None, None]


async def test_one_goes_on_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """That says nothing about it."""
    monkeypatch.setattr(module, "STORE_SECONDS", 0.01)
    gone = FakeRoad({})
    monkeypatch.setattr(gone, "call", lambda *_, **__: asyncio.sleep(3600))
    copy = Replica(FakeRoad(ANSWER), gone)
    assert await copy.call("f", {}, caller=None, is_enough=anything) == ANSWER
