"""A process that runs turns, on a store in memory, and what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast
from uuid import UUID, uuid4

from shared.ai.protocol import Engine
from shared.auth.caller import Caller
from shared.models.turns import MegaMindRequest, MegaMindResponse, TurnRecord
from shared.shares import turn_places
from shared.turns.broadcaster import Broadcaster, Event, Outcome
from shared.turns.follow import START, Place, TurnEvent
from shared.turns.request import TurnRequest
from shared.turns.running_turn import RunningTurn
from shared.turns.summaries import Summaries
from shared.turns.wiring import build_runner
from tests.support.engines import ScriptedEngine, ScriptedSummariser
from tests.support.in_memory_rows import StoredTurn
from tests.support.in_memory_store import InMemoryStore
from tests.support.unit_settings import unit_settings
from tests.support.waiting import until

USER = UUID("6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11")


class RecordingBroadcaster(Broadcaster):
    """Keeps what is sent, batch by batch; `is_hung` makes it take for ever.

    With the outcome `later` it is silent for a minute.
    """

    def __init__(self) -> None:
        self.timeout = 0.5
        self.batches: list[list[Event]] = []
        self.is_hung = False
        self.outcome: Outcome = "sent"
        self._silent_until = 0.0

    async def send(self, events: list[Event]) -> Outcome:
        """Keep these events."""
        self.batches.append(events)
        if self.is_hung:
            await asyncio.sleep(self.timeout)
        if self.outcome == "later":
            self._silent_until = asyncio.get_running_loop().time() + 60
        return self.outcome

    def says(self) -> list[dict[str, Any]]:
        """Return what was sent, event by event, without the turn's id."""
        events = [event["payload"] for batch in self.batches for event in batch]
        return [{k: v for k, v in event.items() if k != "turnId"} for event in events]


class Reading:
    """A client that reads a stream to its end; `leave` makes it go away before."""

    def __init__(self, stream: Coroutine[Any, Any, AsyncIterator[TurnEvent]]) -> None:
        self.events: list[TurnEvent] = []
        self.task = asyncio.create_task(self._read(stream))

    async def _read(self, stream: Coroutine[Any, Any, AsyncIterator[TurnEvent]]) -> None:
        async for event in await stream:
            self.events.append(event)

    async def leave(self) -> None:
        """Go away as a client does, whose request is cancelled with it."""
        self.task.cancel()
        await asyncio.wait({self.task})

    def text(self) -> str:
        """Return the text of deltas, asserting that each begins where the last one ended."""
        text = ""
        for event in self.events:
            if event.name == "accepted":
                text = text[: event.data["offset"]]
            elif event.name == "delta":
                assert event.data["offset"] == len(text)
                text += event.data["text"]
        return text

    def attempts(self) -> list[int]:
        """Return which attempts were said to write."""
        return [event.data["attempt"] for event in self.events if event.name == "accepted"]


class Process:
    """Everything that one process needs to run turns."""

    def __init__(
        self,
        store: InMemoryStore,
        engine: Engine | None = None,
        *,
        broadcaster: RecordingBroadcaster | None = None,
        **settings: Any,
    ) -> None:
        self.store = store
        self.broadcaster = broadcaster or RecordingBroadcaster()
        self.settings = unit_settings(**settings)
        none = unit_settings(history_tokens=0, summary_tokens=0)
        summaries = Summaries(cast("Any", store), ScriptedSummariser(), none)
        self.runner = build_runner(
            store,
            engine or ScriptedEngine(),
            self.broadcaster,
            summaries,
            self.settings,
            turn_places(self.settings.max_concurrent_turns),
        )
        self.registry = self.runner.registry

    async def ask(self, key: str = "k", **body: Any) -> MegaMindResponse:
        """Run a turn."""
        return await self.runner.run(turn_request(key, **body))

    def asking(self, key: str = "k", **body: Any) -> asyncio.Task[MegaMindResponse]:
        """Run a turn beside the test."""
        return asyncio.create_task(self.ask(key, **body))

    async def begun(self, key: str = "k") -> tuple[asyncio.Task[MegaMindResponse], StoredTurn]:
        """Run a turn beside the test; return its task, and its row once it is worked on."""
        asking = self.asking(key)
        await until(lambda: [*self.registry])
        (running,) = self.registry
        return asking, self.store.turns[running.id]

    def streaming(self, key: str = "k", **body: Any) -> Reading:
        """Stream a turn beside the test."""
        return Reading(self.runner.stream(turn_request(key, **body)))

    def following(self, turn_id: UUID, place: Place = START) -> Reading:
        """Follow a turn beside the test."""
        caller = Caller(USER, "token")
        return Reading(self.runner.follow(USER, turn_id, caller=caller, place=place))

    def die(self) -> None:
        """End without a word to the store, as a killed process does."""
        for task in self.registry.working:
            task.cancel()


def turn_request(key: str = "k", user_id: UUID = USER, **body: Any) -> TurnRequest:
    """Return a request of the user."""
    sent = MegaMindRequest.model_validate({"request": "Hello", **body})
    return TurnRequest(user_id, key, sent, Caller(user_id, "token"))


async def begun_turn(text: str = "", *, store: InMemoryStore | None = None) -> RunningTurn:
    """Return a turn that runs and has written this, and that nobody works on."""
    record = await begin(store or InMemoryStore(), key=uuid4().hex)
    running = RunningTurn(record, MegaMindRequest(request="Hello"))
    if text:
        running.write(text)
    return running


async def begin(
    store: InMemoryStore,
    key: str = "k",
    lease_seconds: int = 26,
    metadata: dict[str, Any] | None = None,
) -> TurnRecord:
    """Begin a turn that nobody works on."""
    request = turn_request(key)
    return await store.begin_turn(
        user_id=USER,
        idempotency_key=key,
        request_hash=request.fingerprint(),
        request="Hello",
        message_id=uuid4(),
        conversation_id=None,
        project_id=None,
        metadata=metadata or {},
        lease_seconds=lease_seconds,
        history_tokens=0,
    )


def later_attempt(record: TurnRecord) -> TurnRecord:
    """Return a turn as its next attempt has it."""
    turn = record.turn.model_copy(update={"attempt": record.turn.attempt + 1})
    return record.model_copy(update={"turn": turn, "outcome": "taken_over"})
