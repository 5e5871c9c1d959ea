"""Passing live events: in order, in batches, and never in the way of a turn."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import respx

from shared.persistence.clients import create_pool
from shared.turns import live_events
from shared.turns.live_events import (
    GATHER_SECONDS,
    MAX_DELTA,
    QUIET_SECONDS,
    Broadcaster,
    LiveTurn,
    conversation_topic,
)
from tests.support.unit_settings import SECRET_KEY, URL, unit_settings

ENDPOINT = f"{URL}/realtime/v1/api/broadcast"
EVENT = {"topic": "t", "event": "e", "payload": {}, "private": True}


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The broadcaster's clock."""
    return Clock()


@pytest.fixture
async def broadcaster(clock: Clock) -> AsyncIterator[Broadcaster]:
    """A broadcaster that waits a twentieth of a second."""
    settings = unit_settings(realtime_timeout=0.05)
    async with create_pool(settings) as pool:
        yield Broadcaster(pool, settings, clock=clock)


@pytest.fixture
def realtime() -> Iterator[respx.Route]:
    """Realtime's endpoint, which takes everything unless told otherwise."""
    with respx.mock(assert_all_called=False) as router:
        yield router.post(ENDPOINT).respond(202)


def sent(route: respx.Route) -> list[list[str]]:
    """Return the statuses of each batch that went out."""
    batches = [json.loads(call.request.content)["messages"] for call in route.calls]
    return [[event["payload"]["status"] for event in batch] for batch in batches]


def live_turn(broadcaster: Broadcaster) -> LiveTurn:
    """Return the events of some turn."""
    return LiveTurn(broadcaster, conversation_id=uuid.uuid4(), turn_id=uuid.uuid4(), attempt=1)


class Playing:
    """Plays a Realtime that answers this, raises it, or hangs; counts what it was sent."""

    def __init__(self, outcome: httpx.Response | Exception | None = None) -> None:
        self.outcome = outcome
        self.count = 0

    async def __call__(self, _: httpx.Request) -> httpx.Response:
        self.count += 1
        if self.outcome is None:
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome


async def test_an_event_says_what_and_whose_and_is_private(
    broadcaster: Broadcaster, realtime: respx.Route
) -> None:
    """On the conversation's own topic, without Realtime's prefix."""
    conversation_id, turn_id = uuid.uuid4(), uuid.uuid4()
    live = LiveTurn(broadcaster, conversation_id=conversation_id, turn_id=turn_id, attempt=2)
    live.announce("thinking")
    await live.flush()
    assert conversation_topic(conversation_id) == f"conversation:{conversation_id}"
    assert json.loads(realtime.calls.last.request.content) == {
        "messages": [
            {
                "topic": f"conversation:{conversation_id}",
                "event": "status",
                "payload": {"turnId": str(turn_id), "attempt": 2, "status": "thinking"},
                "private": True,
            }
        ]
    }


@pytest.mark.parametrize(("key", "is_token"), [(SECRET_KEY, False), ("eyJ.a.b", True)])
async def test_an_older_projects_key_is_sent_as_a_token_too(
    realtime: respx.Route, key: str, is_token: bool
) -> None:
    """A newer one is no token, and goes into apikey alone."""
    settings = unit_settings(SUPABASE_SECRET_KEY=key)
    async with create_pool(settings) as pool:
        await Broadcaster(pool, settings).send([EVENT])
    headers = realtime.calls.last.request.headers
    assert headers["apikey"] == key
    assert headers.get("authorization") == (f"Bearer {key}" if is_token else None)


async def test_events_keep_their_order_and_those_that_wait_go_together(
    broadcaster: Broadcaster, realtime: respx.Route
) -> None:
    """While one batch is under way the next is gathered."""
    broadcaster.timeout = 10
    live = live_turn(broadcaster)
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slowly(_: httpx.Request) -> httpx.Response:
        arrived.set()
        await release.wait()
        return httpx.Response(202)

    realtime.mock(side_effect=slowly)
    live.announce("thinking")
    await asyncio.wait_for(arrived.wait(), timeout=5)
    live.announce("generating")
    live.announce("saving")
    release.set()
    await live.flush()
    assert sent(realtime) == [["thinking"], ["generating", "saving"]]


@pytest.mark.promise("Realtime away")
@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(403),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        RuntimeError("whatever"),
        None,
    ],
    ids=["429", "500", "403", "refused", "reset", "bug", "hanging"],
)
async def test_after_a_failure_nothing_is_tried_for_a_while(
    broadcaster: Broadcaster,
    realtime: respx.Route,
    clock: Clock,
    failure: httpx.Response | Exception | None,
) -> None:
    """Then once more; and when that goes well, always again. Nothing is ever raised."""
    playing = Playing(failure)
    realtime.mock(side_effect=playing)
    for _ in range(3):
        await broadcaster.send([EVENT])
    clock.now += QUIET_SECONDS - 0.01
    await broadcaster.send([EVENT])
    assert playing.count == 1
    clock.now += 0.02
    await broadcaster.send([EVENT])
    assert playing.count == 2
    clock.now += QUIET_SECONDS + 0.01
    playing.outcome = httpx.Response(202)
    for _ in range(3):
        await broadcaster.send([EVENT])
    assert playing.count == 5


async def test_a_turn_that_gave_up_waiting_counts_as_a_failure(
    broadcaster: Broadcaster, realtime: respx.Route
) -> None:
    """However quick the turn: the next ones don't wait for a Realtime that hangs."""
    playing = Playing()
    realtime.mock(side_effect=playing)
    for _ in range(3):
        live = live_turn(broadcaster)
        live.announce("thinking")
        live.announce("saving")
        await live.flush()
    assert playing.count == 1


@pytest.mark.promise("streams")
async def test_turns_share_a_request(broadcaster: Broadcaster, realtime: respx.Route) -> None:
    """However many there are: what they say in one moment goes out at once."""
    turns = [live_turn(broadcaster) for _ in range(50)]
    for live in turns:
        live.announce("thinking")
        live.announce("generating")
    await asyncio.gather(*(live.flush() for live in turns))
    assert sent(realtime) == [["thinking", "generating"] * 50]


async def test_more_turns_than_one_request_holds_take_another(
    broadcaster: Broadcaster, realtime: respx.Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are told, in the time that the first was."""
    monkeypatch.setattr(live_events, "MOST_TURNS", 2)
    broadcaster.timeout = 10
    turns = [live_turn(broadcaster) for _ in range(5)]
    for live in turns:
        live.announce("saving")
    await asyncio.gather(*(live.flush() for live in turns))
    assert sent(realtime) == [["saving"] * 2, ["saving"] * 2, ["saving"]]


async def test_many_events_are_paced_and_a_turn_that_ends_does_not_wait_for_that(
    broadcaster: Broadcaster, realtime: respx.Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a batch of many the next one gathers for longer, unless somebody is in a hurry."""
    monkeypatch.setattr(live_events, "EVENTS_PER_SECOND", 0.01)
    broadcaster.timeout = 5
    writing, ending = live_turn(broadcaster), live_turn(broadcaster)
    writing.announce("generating")
    await asyncio.wait_for(until_called(realtime), timeout=5)
    writing.write(0, "Hel")
    writing.write(3, "lo")
    await asyncio.sleep(2 * GATHER_SECONDS)
    assert realtime.call_count == 1
    ending.announce("saving")
    await ending.flush()
    (events,) = [json.loads(call.request.content)["messages"] for call in realtime.calls][1:]
    assert events[0]["payload"]["status"] == "saving"
    assert events[1]["payload"] == {**events[1]["payload"], "offset": 0, "text": "Hello"}


@pytest.mark.promise("Realtime away", red="a piece of text is one event, however large")
async def test_text_that_comes_at_once_goes_out_in_events_that_realtime_carries(
    broadcaster: Broadcaster, realtime: respx.Route
) -> None:
    """However large the piece: one that is too large would have the whole request refused."""
    broadcaster.timeout = 10
    text = "".join(chr(0x1F300 + n % 700) for n in range(3 * MAX_DELTA + 5))
    live = live_turn(broadcaster)
    live.write(0, "Hi")
    live.write(2, text)
    live.write(2 + len(text), "!")
    await live.flush()
    events = json.loads(realtime.calls.last.request.content)["messages"]
    deltas = [event["payload"] for event in events]
    assert "".join(delta["text"] for delta in deltas) == f"Hi{text}!"
    lengths = [len(delta["text"]) for delta in deltas]
    assert max(lengths) <= MAX_DELTA
    assert [delta["offset"] for delta in deltas] == [sum(lengths[:n]) for n in range(len(lengths))]


async def until_called(route: respx.Route) -> None:
    """Wait until a request has come."""
    while not route.called:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_realtime_that_hangs_holds_up_no_turn_for_longer_than_its_bound(
    broadcaster: Broadcaster, realtime: respx.Route
) -> None:
    """Turns that come while another waits are told that it is given up, and nothing lingers."""
    playing = Playing()
    realtime.mock(side_effect=playing)
    turns = [live_turn(broadcaster) for _ in range(20)]
    for live in turns:
        live.announce("thinking")
    await asyncio.wait_for(asyncio.gather(*(live.flush() for live in turns)), timeout=5)
    late = live_turn(broadcaster)
    late.announce("saving")
    await asyncio.wait_for(late.flush(), timeout=5)
    assert playing.count == 1


@pytest.mark.promise("deadlines")
async def test_announcing_waits_for_nothing_and_flushing_only_so_long(
    broadcaster: Broadcaster, realtime: respx.Route
) -> None:
    """A flush with nothing to say is over at once; with a Realtime that hangs, in its bound."""
    await live_turn(broadcaster).flush()
    playing = Playing()
    realtime.mock(side_effect=playing)
    live = live_turn(broadcaster)
    live.announce("thinking")
    assert playing.count == 0
    await asyncio.wait_for(live.flush(), timeout=5)
    assert playing.count == 1
