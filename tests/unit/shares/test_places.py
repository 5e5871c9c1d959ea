"""Places: so many in all, so many for a user, and who waits stands behind himself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from shared.errors import AppError, ImportBusyError, TooManyRequestsError, UnavailableError
from shared.shares import Places, Shares, StorePlaces, turn_places
from tests.support.unit_settings import unit_settings


@dataclass
class Crowd:
    """Users that each do something for a second, in a place."""

    places: Places
    now: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)

    async def work(self, user: str, seconds: float = 1) -> None:
        async with self.places.taken_by(user):
            self.now[user] = self.now.get(user, 0) + 1
            self.most[user] = max(self.most.get(user, 0), self.now[user])
            await asyncio.sleep(seconds)
            self.now[user] -= 1
            self.ends.append(user)

    def start(self, user: str, count: int, seconds: float = 1) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.work(user, seconds)) for _ in range(count)]


async def is_empty(places: Places, total: int) -> None:
    """See that every place can be had again, and that nobody is remembered."""
    assert (places._free, dict(places._held), places._waiting) == (total, {}, {})


def clock() -> float:
    return asyncio.get_running_loop().time()


async def test_a_user_beyond_the_share_waits_and_another_does_not() -> None:
    """Ten of one user's take five rounds; who comes second is served in the first."""
    crowd = Crowd(Places(4, each=2, patience=None))
    greedy = crowd.start("greedy", 10)
    await asyncio.sleep(0.1)
    began = clock()
    await crowd.work("other")
    assert clock() - began == pytest.approx(1)
    await asyncio.gather(*greedy)
    assert crowd.most == {"greedy": 2, "other": 1}
    assert clock() - began == pytest.approx(4.9)
    await is_empty(crowd.places, 4)


async def test_who_waits_is_served_by_turns() -> None:
    """Not in the order in which they came: one who asks for much stands behind himself."""
    crowd = Crowd(Places(1, each=1, patience=None))
    tasks = crowd.start("a", 4) + crowd.start("b", 2) + crowd.start("c", 1)
    await asyncio.gather(*tasks)
    assert crowd.ends == ["a", "a", "b", "c", "a", "b", "a"]
    await is_empty(crowd.places, 1)


async def test_all_places_are_used_where_several_ask() -> None:
    """A user whose share is taken keeps no other from a free place."""
    crowd = Crowd(Places(3, each=1, patience=None))
    tasks = crowd.start("a", 5) + crowd.start("b", 5) + crowd.start("c", 5)
    began = clock()
    await asyncio.gather(*tasks)
    assert clock() - began == pytest.approx(5)


async def test_who_gives_up_while_waiting_leaves_no_place_taken() -> None:
    """Neither before a place came, nor at the very moment at which it does."""
    places = Places(1, each=1, patience=None)
    crowd = Crowd(places)
    (holding,) = crowd.start("a", 1)
    await asyncio.sleep(0.5)
    early, late = crowd.start("b", 1) + crowd.start("c", 1)
    await asyncio.sleep(0)
    early.cancel()
    holding.add_done_callback(lambda _: late.cancel())  # it was handed the place by then
    await asyncio.wait({holding, early, late})
    assert early.cancelled()
    assert late.cancelled()
    await is_empty(places, 1)


async def test_what_fails_in_its_place_gives_it_back() -> None:
    """As does what is cancelled there."""
    places = Places(1, each=1)
    with pytest.raises(ZeroDivisionError):
        async with places.taken_by("a"):
            raise ZeroDivisionError
    (task,) = Crowd(places).start("a", 1)
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task})
    await is_empty(places, 1)


@pytest.mark.parametrize(
    ("total", "each", "holder", "refusal"),
    [(4, 1, "me", TooManyRequestsError), (1, 1, "another", UnavailableError),
     (1, 1, "me", UnavailableError)],
    ids=["own share", "all are taken", "both"],
)  # fmt: skip
async def test_patience_ends_in_a_refusal_that_says_whose_fault_it_is(
    total: int, each: int, holder: str, refusal: type[AppError]
) -> None:
    """And when to come again."""
    crowd = Crowd(Places(total, each=each, patience=2))
    holding = crowd.start(holder, 1, seconds=10)
    await asyncio.sleep(0)
    began = clock()
    with pytest.raises(refusal) as refused:
        await crowd.work("me")
    assert clock() - began == pytest.approx(2)
    assert refused.value.headers() == {"Retry-After": "2"}
    await asyncio.gather(*holding)
    await is_empty(crowd.places, total)


async def test_so_many_of_a_user_wait_and_more_are_refused_at_once() -> None:
    """With the kind's own error, where it has one."""
    crowd = Crowd(Places(1, each=1, waiting=2, patience=10, refusal=ImportBusyError))
    tasks = crowd.start("a", 3)
    await asyncio.sleep(0)
    began = clock()
    with pytest.raises(ImportBusyError):
        await crowd.work("a")
    assert clock() == began
    other = crowd.start("b", 1)
    await asyncio.gather(*tasks, *other)


async def test_what_outlasts_its_place_holds_one_of_its_own() -> None:
    """Such as a turn, which runs on where its request has ended."""
    places = Places(1, each=1, patience=1)
    async with places.taken_by("a"):
        places.hold("a")
    with pytest.raises(UnavailableError):
        await Crowd(places).work("b")
    places.give_back("a")
    await Crowd(places).work("b")
    await is_empty(places, 1)


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [("requests", 2), ("large_bodies", 7), ("heavy_reads", 7), ("exports", 7), ("uploads", 10)],
)
async def test_each_kind_is_waited_for_as_long_as_it_may_take(kind: str, seconds: int) -> None:
    """What the store holds up for as long as a call to it, a file for longer."""
    places: Places = getattr(Shares(unit_settings(store_timeout=7)), kind)
    while places._has_place_for("a"):
        places.hold("a")
    began = clock()
    with pytest.raises(AppError):
        await Crowd(places).work("a")
    assert clock() - began == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("connections", "urgent", "others"),
    [(3, (2, 1), (1, 1)), (10, (2, 1), (8, 4)), (50, (10, 5), (40, 20))],
)
async def test_a_few_calls_to_the_store_are_kept_for_what_turns_live_by(
    connections: int, urgent: tuple[int, int], others: tuple[int, int]
) -> None:
    """A user has half of each kind; the rest is never all one user's, but where there is one."""
    places = StorePlaces(connections)
    for kind, (total, each) in ((places.urgent, urgent), (places.others, others)):
        assert await _taken(lambda _: "one", kind, connections) == each
        assert await _taken(str, kind, connections) == total


async def _taken(user: Callable[[int], str], places: Places, tries: int) -> int:
    """Count how many of so many tries find a place."""
    crowd = Crowd(places)
    tasks: list[Awaitable[None]] = []
    for number in range(tries):
        tasks += crowd.start(user(number), 1)
    await asyncio.sleep(0.1)
    taken = sum(crowd.now.values())
    await asyncio.gather(*tasks)
    return taken


@pytest.mark.parametrize(("limit", "each"), [(1, 1), (2, 1), (5, 3), (256, 16)])
async def test_a_user_never_has_more_than_half_of_the_turns(limit: int, each: int) -> None:
    """Sixteen at most."""
    places = turn_places(limit)
    places._patience = None
    assert await _taken(lambda _: "one", places, 20) == each
