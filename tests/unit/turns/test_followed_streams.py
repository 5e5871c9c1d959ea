"""A project whose turns are all followed: what its Realtime counts, and whether it closes any."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest

from local.realtime.hub import Broadcast, Hub
from local.realtime.rate import Rate
from shared.ai.protocol import (
    AnalysisReady,
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    TextDelta,
)
from shared.models.turns import CompletedTurn, TurnRecord
from shared.turns.broadcaster import Event, Outcome
from shared.turns.live_reader import conversation_topic
from tests.support.engines import ANALYSIS
from tests.support.heart import Process, RecordingBroadcaster
from tests.support.in_memory_store import InMemoryStore
from tests.unit.local.test_hub import FakeMember

PROCESSES = 4
STREAMS = 50
FREE = 100  # messages a second on the smallest plan


class TalkingEngine:
    """Writes a word every fifth of a second, for as many seconds as it is asked for."""

    name = "talking"

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the analysis, the words and the result."""
        yield AnalysisReady(ANALYSIS)
        words = 0
        while words < int(asked.text) * 5:
            yield TextDelta("word ")
            words += 1
            await asyncio.sleep(0.2)
        yield Finished(EngineResult(success=True, message="word " * words, engine=self.name))


class Tab(FakeMember):
    """A listener of one conversation."""

    def lengths(self) -> list[int]:
        """Return the length of each piece of text."""
        said = [frame.payload["payload"] for frame in self.received]
        return [len(event["text"]) for event in said if "text" in event]


class Realtime(RecordingBroadcaster):
    """Plays Realtime: two tabs follow every conversation, from its first event on."""

    def __init__(self, hub: Hub, tabs: dict[str, list[Tab]]) -> None:
        super().__init__()
        self.hub = hub
        self.tabs = tabs

    async def send(self, events: list[Event]) -> Outcome:
        """Take a batch, or refuse it whole."""
        if not self.hub.rate.has_room_for(len(events)):
            self._silent_until = asyncio.get_running_loop().time() + 5
            return "later"
        for event in events:
            self.deliver(event["topic"], event["payload"])
        return "sent"

    def deliver(self, topic: str, payload: dict[str, Any], row_id: str | None = None) -> None:
        """Deliver one event to both tabs."""
        if topic not in self.tabs:
            self.tabs[topic] = [Tab(topic, is_private=True) for _ in range(2)]
            for tab in self.tabs[topic]:
                self.hub.enter(tab)
        self.hub.send(Broadcast(topic, "e", payload, True, row_id))


class SendingStore(InMemoryStore):
    """Says of each commit of a turn in which conversation it was."""

    def __init__(self, on_commit: Callable[[UUID], None]) -> None:
        super().__init__()
        self._on_commit = on_commit

    async def begin_turn(self, **arguments: Any) -> TurnRecord:
        """Begin a turn."""
        record = await super().begin_turn(**arguments)
        self._on_commit(record.conversation.id)
        return record

    async def complete_turn(self, **arguments: Any) -> CompletedTurn:
        """Complete a turn."""
        done = await super().complete_turn(**arguments)
        self._on_commit(self.turns[done.turn.id].conversation_id)
        return done


class Project:
    """Some processes, one store, and what its commits send."""

    def __init__(self, *, events_per_second: float) -> None:
        self.tabs: dict[str, list[Tab]] = {}
        self.hub = Hub(Rate(FREE, clock=asyncio.get_running_loop().time))
        self.realtime = Realtime(self.hub, self.tabs)
        store = SendingStore(self.committed)
        self.processes = [
            Process(
                store,
                TalkingEngine(),
                broadcaster=self.realtime,
                realtime_events_per_second=events_per_second,
            )
            for _ in range(PROCESSES)
        ]

    def committed(self, conversation_id: UUID) -> None:
        """Send what a commit of a turn does: a message and a status."""
        for payload in ({"seq": 1}, {"status": "of a commit"}):
            self.realtime.deliver(conversation_topic(conversation_id), payload, "row")

    async def run(self, seconds: float) -> None:
        """Have so many streams run at any time, each one's next turn right behind it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as streams:
                for number in range(STREAMS):
                    streams.create_task(self.talk(self.processes[number % PROCESSES], number))

    async def talk(self, process: Process, number: int) -> None:
        """Ask in one conversation, again and again."""
        body = {"request": str(10 + number % 20)}  # so that one ends every now and then
        for turn in range(100):
            answer = await process.ask(f"{number}-{turn}", **body)
            body["conversationId"] = str(answer.conversation_id)

    def refused(self) -> list[str]:
        """Return why tabs lost their channels."""
        return [code for tabs in self.tabs.values() for tab in tabs for code in tab.refused]


@pytest.mark.promise("live events", red="text is sent whatever the budget has to say")
async def test_fifty_followed_streams_close_no_channel() -> None:
    """By the default budget, on the smallest plan, over four processes, for a minute."""
    project = Project(events_per_second=25)
    await project.run(60)
    assert project.refused() == []
    assert project.hub.rate.mean > FREE / 3  # it is used, too
    assert len(project.tabs) == STREAMS
    for tabs in project.tabs.values():
        assert len(tabs[0].lengths()) > 3


async def test_negative_control_without_a_budget_channels_are_closed() -> None:
    """By the same turns, within their first seconds."""
    project = Project(events_per_second=100_000)
    await project.run(30)
    assert set(project.refused()) == {"MessagePerSecondRateLimitReached"}
