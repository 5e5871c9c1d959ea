"""The heartbeat of a process: one call for all of its turns, and what each of them hears."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import respx

from shared.models.turns import MegaMindRequest
from shared.persistence import Persistence
from shared.persistence.clients import Clients, create_pool
from shared.persistence.rpc import Store
from shared.turns import heartbeat
from shared.turns.heartbeat import Heartbeat
from shared.turns.running_turn import RunningTurn
from tests.support.unit_settings import URL, unit_settings

SHORT = 0.01


class Keeper:
    """A store that hears heartbeats, and answers what it is told to; else that all is well."""

    def __init__(self, router: respx.Router) -> None:
        self.router = router
        self.calls: list[list[dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any] | None] = {}
        self.is_down = False
        self.on_call: Callable[[], None] | None = None
        self.heard = asyncio.Condition()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Take one call."""
        beats = json.loads(request.content)["beats"]
        async with self.heard:
            self.calls.append(beats)
            self.heard.notify_all()
        if self.on_call is not None:
            self.on_call()
        if self.is_down:
            return httpx.Response(503)
        well = {"is_ours": True, "cancel_requested": False}
        told = [(beat["turn_id"], self.answers.get(beat["turn_id"], well)) for beat in beats]
        turns = [{"turn_id": turn_id, **answer} for turn_id, answer in told if answer is not None]
        return httpx.Response(200, json={"turns": turns})

    async def next_calls(self, count: int = 1) -> list[list[dict[str, Any]]]:
        """Wait for so many calls that come from now on."""
        so_far = len(self.calls)
        async with asyncio.timeout(10), self.heard:
            await self.heard.wait_for(lambda: len(self.calls) >= so_far + count)
        return self.calls[so_far : so_far + count]


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """The store's end of the wire."""
    with respx.mock(assert_all_called=False) as router:
        keeper = Keeper(router)
        router.post(f"{URL}/rest/v1/rpc/extend_turns").mock(side_effect=keeper)
        yield keeper


@pytest.fixture
async def beating() -> AsyncIterator[Heartbeat]:
    """A heart that beats quickly."""
    settings = unit_settings()
    async with create_pool(settings) as pool:
        store = Store(Clients(settings, pool), timeout=5)
        yield Heartbeat(Persistence(store), lease_seconds=60, interval=SHORT)


def running_turn(text: str = "") -> RunningTurn:
    """Return a turn that has written this."""
    begun: Any = SimpleNamespace(turn=SimpleNamespace(id=uuid.uuid4(), attempt=1))
    turn = RunningTurn(begun, MegaMindRequest(request="Hello"))
    turn.write(text)
    return turn


def adopt(*turns: RunningTurn) -> None:
    """Let these turns go on as their second attempts."""
    for turn in turns:
        begun: Any = SimpleNamespace(turn=SimpleNamespace(id=turn.begun.turn.id, attempt=2))
        turn.adopt(begun)


def id_of(turn: RunningTurn) -> str:
    """Return a turn's id as it is on the wire."""
    return str(turn.begun.turn.id)


async def test_all_running_turns_share_one_call(beating: Heartbeat, keeper: Keeper) -> None:
    """Each says what it has written since the store last heard of it."""
    turns = [running_turn(text) for text in ("", "é🎉", "three")]
    with ExitStack() as keeping:
        for turn in turns:
            keeping.enter_context(beating.keeping(turn))
        (first,) = await keeper.next_calls()
        await keeper.next_calls()  # the answer of the one before has arrived
        turns[1].write("四")
        written = [call[1] for call in await keeper.next_calls(3)]
    assert [(beat["turn_id"], beat["draft_tail"]) for beat in first] == [
        (id_of(turn), text) for turn, text in zip(turns, ("", "é🎉", "three"), strict=True)
    ]
    assert [(beat["draft_offset"], beat["draft_tail"]) for beat in written][-1] == (3, "")
    assert (2, "四") in [(beat["draft_offset"], beat["draft_tail"]) for beat in written]


async def test_a_turn_hears_that_it_is_lost_or_is_to_stop(
    beating: Heartbeat, keeper: Keeper
) -> None:
    """And nothing of what the others hear."""
    well, lost, stopped, held = (running_turn("text") for _ in range(4))
    keeper.answers = {
        id_of(lost): {"is_ours": False, "cancel_requested": False},
        id_of(stopped): {"is_ours": True, "cancel_requested": True},
        id_of(held): None,
    }
    with ExitStack() as keeping:
        for turn in (well, lost, stopped, held):
            keeping.enter_context(beating.keeping(turn))
        await asyncio.wait_for(asyncio.gather(lost.lost.wait(), stopped.stop.wait()), timeout=10)
        await keeper.next_calls()
    assert not any(event.is_set() for event in (well.lost, well.stop, held.lost))
    assert (well.written, held.written) == (4, 0)


@pytest.mark.promise("take-over", red="the attempt not compared")
async def test_what_is_said_of_an_attempt_is_nothing_to_the_one_that_adopted_it(
    beating: Heartbeat, keeper: Keeper
) -> None:
    """An answer that was on its way neither ends the turn nor counts as written."""
    turns = [running_turn("draft"), running_turn("draft")]
    keeper.answers = {id_of(turns[0]): {"is_ours": False, "cancel_requested": False}}
    with ExitStack() as keeping:
        for turn in turns:
            keeping.enter_context(beating.keeping(turn))
        keeper.on_call = lambda: adopt(*turns)
        await keeper.next_calls()
        keeper.on_call, keeper.answers = None, {}
        (following, *_) = await keeper.next_calls(2)
    assert [(beat["attempt"], beat["draft_tail"]) for beat in following] == [(2, "draft")] * 2
    assert not any(turn.lost.is_set() for turn in turns)


async def test_a_beat_that_fails_is_made_up_for_by_the_next(
    beating: Heartbeat, keeper: Keeper
) -> None:
    """Nothing is lost, and what was not written is sent again."""
    turn = running_turn("draft")
    keeper.is_down = True
    with beating.keeping(turn):
        await keeper.next_calls(2)
        keeper.is_down = False
        await keeper.next_calls(2)
    assert turn.written == 5
    assert all(call[0]["draft_tail"] == "draft" for call in keeper.calls[:3])
    assert not turn.lost.is_set()


async def test_no_call_grows_without_bound(
    beating: Heartbeat, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large drafts go in calls of their own; a single one that is larger still goes whole."""
    monkeypatch.setattr(heartbeat, "MOST_TEXT", 10)
    turns = [running_turn("x" * size) for size in (6, 6, 20, 1, 1)]
    with ExitStack() as keeping:
        for turn in turns:
            keeping.enter_context(beating.keeping(turn))
        calls = await keeper.next_calls(4)
    assert [[len(beat["draft_tail"]) for beat in call] for call in calls] == [
        [6],
        [6],
        [20],
        [1, 1],
    ]


async def test_without_a_turn_there_is_no_heartbeat(beating: Heartbeat, keeper: Keeper) -> None:
    """It ends with the last turn, and begins anew with the next."""
    with beating.keeping(running_turn()):
        await keeper.next_calls()
    count = len(keeper.calls)
    await asyncio.sleep(5 * SHORT)
    assert len(keeper.calls) == count
    with beating.keeping(running_turn()):
        await keeper.next_calls()


@pytest.mark.promise("streams", red="a heart that is stopping passes for one that beats")
async def test_a_turn_that_begins_in_the_moment_the_last_one_ends_is_kept_too(
    beating: Heartbeat, keeper: Keeper
) -> None:
    """By then the heart was told to stop, and has not done so yet."""
    with beating.keeping(running_turn()):
        await keeper.next_calls()
    turn = running_turn("kept")
    with beating.keeping(turn):
        (first,) = await keeper.next_calls()
    assert [beat["turn_id"] for beat in first] == [id_of(turn)]


@pytest.mark.promise("limits", red="heartbeats wait for a place")
async def test_a_heart_beats_on_while_everything_else_stands_in_line(keeper: Keeper) -> None:
    """Callers that the store keeps waiting take no lease away from turns that run."""
    settings = unit_settings()
    release = asyncio.Event()

    async def slowly(_: httpx.Request) -> httpx.Response:
        await release.wait()
        return httpx.Response(200, json={})

    keeper.router.post(f"{URL}/rest/v1/rpc/ping").mock(side_effect=slowly)
    async with create_pool(settings) as pool, asyncio.TaskGroup() as callers:
        store = Store(Clients(settings, pool), timeout=10, at_once=2)
        for _ in range(4):
            callers.create_task(store.call("ping", {}, caller=None))
        beating = Heartbeat(Persistence(store), lease_seconds=60, interval=SHORT)
        with beating.keeping(running_turn()):
            try:
                await keeper.next_calls(2)
            finally:
                release.set()
