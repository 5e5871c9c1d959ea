"""The heartbeat of a process: one call for all of its turns, and what each of them learns by it."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from shared.errors import StoreUnavailableError
from shared.models.turns import ExtendedTurn, ExtendedTurns, TurnExtension
from shared.persistence import Persistence
from shared.persistence.data_api import DataApi
from shared.persistence.http_pool import create_pool
from shared.persistence.rpc import Store
from shared.shares import Places, StorePlaces
from shared.turns import heartbeat
from shared.turns.heartbeat import Heartbeat
from shared.turns.registry import TurnRegistry
from shared.turns.running_turn import RunningTurn
from tests.support.heart import begun_turn, later_attempt
from tests.support.unit_settings import URL, unit_settings

WELL = {"is_ours": True, "cancel_requested": False}


class LeaseStore:
    """Takes extensions, and answers what a test says of a turn; else that all is well."""

    def __init__(self) -> None:
        self.calls: list[list[TurnExtension]] = []
        self.answers: defaultdict[uuid.UUID, dict[str, bool] | None] = defaultdict(lambda: WELL)
        self.is_away = False
        self.running = 0
        self.on_call: Callable[[], None] = lambda: None

    async def extend_turns(
        self, extensions: list[TurnExtension], *, lease_seconds: int
    ) -> ExtendedTurns:
        """Take one call."""
        self.calls.append(extensions)
        if self.is_away:
            raise StoreUnavailableError
        said = [(sent.turn_id, self.answers[sent.turn_id]) for sent in extensions]
        self.on_call()
        return ExtendedTurns(
            turns=[ExtendedTurn(turn_id=i, **answer) for i, answer in said if answer is not None],
            running=self.running,
        )

    def drafts(self) -> list[list[tuple[int, str]]]:
        """Return the offset and text of each turn in each call."""
        return [[(sent.draft_offset, sent.draft_tail) for sent in call] for call in self.calls]


async def beating(*turns: RunningTurn, store: Any) -> TurnRegistry:
    """Start a heartbeat of one second for these turns."""
    registry = TurnRegistry(Places(each=10))
    for turn in turns:
        registry.add(turn, asyncio.sleep(10_000))
    Heartbeat(registry, store, unit_settings(lease_seconds=60)).start()
    await asyncio.sleep(0.5)  # between two heartbeats
    return registry


@pytest.fixture
def store() -> LeaseStore:
    """A store."""
    return LeaseStore()


async def test_all_running_turns_share_one_call(store: LeaseStore) -> None:
    """Each sends what it has written since the store last took it, under its user."""
    turns = [await begun_turn(text) for text in ("", "é🎉", "three")]
    await beating(*turns, store=store)
    await asyncio.sleep(1)
    turns[1].write("四")
    await asyncio.sleep(2)
    assert store.drafts() == [
        [(0, ""), (0, "é🎉"), (0, "three")],
        [(0, ""), (2, "四"), (5, "")],
        [(0, ""), (3, ""), (5, "")],
    ]
    assert {sent.user_id for sent in store.calls[0]} == {turns[0].user_id}


async def test_the_process_learns_how_many_turns_run_in_the_project(store: LeaseStore) -> None:
    """By each answer, so that its live events take no more than their part."""
    store.running = 12
    registry = await beating(await begun_turn(), store=store)
    await asyncio.sleep(1)
    assert registry.in_project == 12
    store.is_away = True
    await asyncio.sleep(2)
    assert registry.in_project == 12


async def test_a_turn_learns_that_it_is_lost_or_is_to_stop(store: LeaseStore) -> None:
    """And nothing of what is said of the others; one that is lost is not asked for again."""
    well, lost, stopped, held = [await begun_turn("text") for _ in range(4)]
    store.answers[lost.id] = {"is_ours": False, "cancel_requested": False}
    store.answers[stopped.id] = {"is_ours": True, "cancel_requested": True}
    store.answers[held.id] = None
    await beating(well, lost, stopped, held, store=store)
    await asyncio.sleep(2)
    assert [turn.lost.is_set() for turn in (well, lost, stopped, held)] == [
        False,
        True,
        False,
        False,
    ]
    assert [turn.stop.is_set() for turn in (well, lost, stopped, held)] == [
        False,
        False,
        True,
        False,
    ]
    assert store.drafts()[1] == [(4, ""), (4, ""), (0, "text")]


@pytest.mark.promise("take-over")
async def test_what_is_said_of_an_attempt_is_nothing_to_the_one_that_adopted_it(
    store: LeaseStore,
) -> None:
    """An answer that was on its way neither ends the turn nor counts as written."""
    turns = [await begun_turn("draft") for _ in range(2)]
    store.answers[turns[0].id] = {"is_ours": False, "cancel_requested": False}

    def adopt() -> None:
        store.on_call = lambda: None
        store.answers.clear()
        for turn in turns:
            turn.adopt(later_attempt(turn.record))

    store.on_call = adopt
    await beating(*turns, store=store)
    await asyncio.sleep(2)
    assert [sent.attempt for sent in store.calls[1]] == [2, 2]
    assert store.drafts()[1] == [(0, "draft")] * 2
    assert not any(turn.lost.is_set() for turn in turns)


async def test_a_heartbeat_that_fails_is_made_up_for_by_the_next(store: LeaseStore) -> None:
    """Nothing is lost, and what was not written is sent again."""
    turn = await begun_turn("draft")
    store.is_away = True
    await beating(turn, store=store)
    await asyncio.sleep(2)
    store.is_away = False
    await asyncio.sleep(2)
    assert store.drafts() == [[(0, "draft")]] * 3 + [[(5, "")]]
    assert not turn.lost.is_set()


async def test_no_call_grows_without_bound(
    store: LeaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large drafts go in calls of their own; a single one that is larger still goes whole."""
    monkeypatch.setattr(heartbeat, "MOST_TEXT", 10)
    turns = [await begun_turn("x" * size) for size in (20, 6, 4, 6, 20, 1, 1)]
    await beating(*turns, store=store)
    await asyncio.sleep(1)
    sizes = [[len(text) for _, text in call] for call in store.drafts()]
    assert sizes == [[20], [6, 4], [6], [20], [1, 1]]


async def test_a_part_is_written_once_and_again_where_it_has_changed(store: LeaseStore) -> None:
    """As text is: a heartbeat has what is new."""
    turn = await begun_turn()
    call = {"type": "tool-x", "toolCallId": "c", "state": "input-available", "input": {}}
    turn.add(call)
    await beating(turn, store=store)
    await asyncio.sleep(2)
    turn.add({**call, "state": "output-available", "output": 1})
    await asyncio.sleep(1)
    sent = [[entry.version for entry in call[0].draft_parts or ()] for call in store.calls]
    assert sent == [[1], [], [2]]


async def test_without_a_turn_there_is_no_heartbeat(store: LeaseStore) -> None:
    """It ends with the last turn, and begins with the next one again."""
    registry = TurnRegistry(Places(each=10))
    beating = Heartbeat(registry, store, unit_settings(lease_seconds=60))  # type: ignore[arg-type]
    for _ in range(2):
        turn = await begun_turn()
        registry.add(turn, asyncio.sleep(2.5))
        beating.start()
        await asyncio.sleep(10)
    assert len(store.calls) == 4


@pytest.mark.promise("limits", red="heartbeats are not urgent")
async def test_leases_are_kept_while_everything_else_waits_for_a_connection() -> None:
    """Callers that the store keeps waiting take no lease away from turns that run."""
    settings, release = unit_settings(), asyncio.Event()

    async def slowly(_: httpx.Request) -> httpx.Response:
        await release.wait()
        return httpx.Response(200, json={})

    with respx.mock() as router:
        router.post(f"{URL}/rest/v1/rpc/ping").mock(side_effect=slowly)
        extended = router.post(f"{URL}/rest/v1/rpc/extend_turns").respond(
            json={"turns": [], "running": 0}
        )
        async with create_pool(settings) as pool, asyncio.TaskGroup() as callers:
            store = Store(DataApi(settings, pool), timeout=10, places=StorePlaces(3))
            for _ in range(4):
                callers.create_task(store.call("ping", {}, caller=None))
            await beating(await begun_turn(), store=Persistence(store))
            await asyncio.sleep(1)
            was_extended = extended.called
            release.set()
    assert was_extended
