"""What a turn takes counts towards its user's limits while it runs, each attempt once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.ai.protocol import EngineEvent, EngineRequest, Usage
from shared.ai.tokens import estimate_tokens
from shared.auth.caller import Caller
from shared.models.turns import MegaMindRequest
from tests.support.engines import ScriptedEngine, TypingEngine
from tests.support.heart import USER, Process
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import Held, away
from tests.support.waiting import until

TEXT = "Nine byte" * 5
ASKED = estimate_tokens("Hello")
ESTIMATED = ASKED + estimate_tokens(TEXT)
WRITTEN = 15  # tokens, without what a provider puts around a message


@pytest.mark.promise("limits", red="a heartbeat without what the AI was given")
async def test_what_every_attempt_took_counts_from_its_heartbeat_on() -> None:
    """By estimate while it runs: of what the AI was given and of what it wrote."""
    store, engine = InMemoryStore(), TypingEngine([TEXT])
    dead = Process(store, engine)
    dead.asking()
    engine.allow()
    await asyncio.sleep(2)
    (turn_id,) = store.turns
    assert store.tokens_of(turn_id) == ASKED + WRITTEN
    dead.die()
    store.turns[turn_id].lease_until = 0
    reported = ScriptedEngine(usage=Usage(input_tokens=3, output_tokens=4), hold=True)
    retrying = Process(store, reported).asking()
    await asyncio.sleep(2)
    assert store.tokens_of(turn_id) == ASKED + WRITTEN + ASKED
    reported.release.set()
    await retrying
    assert store.tokens_of(turn_id) == ASKED + WRITTEN + 7


async def test_a_run_that_goes_on_as_another_attempt_counts_once() -> None:
    """Adopted while it writes."""
    store, engine = InMemoryStore(), TypingEngine([TEXT])
    process = Process(store, engine)
    process.asking()
    engine.allow()
    await asyncio.sleep(2)
    (turn,) = store.turns.values()
    store.faults["extend_turns"], turn.lease_until = away, 0
    retrying = process.asking()
    await until(lambda: turn.attempt == 2)
    engine.allow()
    await retrying
    assert (store.tokens_of(turn.id), engine.runs) == (ESTIMATED, 1)


async def test_a_reply_that_is_handed_on_counts_once() -> None:
    """Its worker was refused, and the next one here stores it."""
    store, engine = InMemoryStore(), ScriptedEngine(TEXT, hold=True)
    process = Process(store, engine)
    losing, turn = await process.begun()
    await asyncio.sleep(2)
    store.faults["load_turn"] = ending = Held()
    turn.attempt, turn.lease_until = 2, 0  # of a process that took it over and died
    engine.release.set()
    await ending.committed.wait()
    await process.ask()
    ending.release.set()
    await asyncio.wait({losing})
    assert (store.tokens_of(turn.id), engine.requests) == (ESTIMATED, ["Hello"])


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, ESTIMATED),
        (Usage(input_tokens=3, output_tokens=4), 7),
        (
            Usage(input_tokens=3, output_tokens=0, is_partial=True),
            3 + ESTIMATED,
        ),
    ],
)
async def test_what_the_engine_reports_counts_and_where_it_does_not_an_estimate(
    usage: Usage | None, tokens: int
) -> None:
    """Stored or not."""
    store = InMemoryStore()
    process = Process(store, ScriptedEngine(TEXT, usage=usage), tokens_per_day=1_000)
    await process.ask()
    assert await spent_unstored(process) == tokens
    assert [one.tokens for one in store.counted.values()] == [tokens] * 2


async def test_a_run_that_breaks_counts_what_the_ai_was_given() -> None:
    """And nobody waits for a count that no limit needs, or that can't be made."""
    broken = Process(InMemoryStore(), BrokenEngine(), tokens_per_day=1_000)
    with pytest.raises(RuntimeError):
        await spent_unstored(broken)
    assert [one.tokens for one in broken.store.counted.values()] == [ASKED]
    process = Process(InMemoryStore(), tokens_per_day=1_000)
    process.store.faults["add_tokens"] = away
    assert await spent_unstored(process) == 0
    unlimited = Process(InMemoryStore())
    await spent_unstored(unlimited)
    assert not unlimited.store.calls["add_tokens"]


class BrokenEngine(ScriptedEngine):
    """Breaks its promise to end with a result."""

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Raise."""
        raise RuntimeError
        yield


async def spent_unstored(process: Process) -> int:
    """Run the AI without storing anything; return what was counted last."""
    body, caller = MegaMindRequest(request="Hello"), Caller(USER, "token")
    await process.runner.unstored.run(body, user_id=USER, caller=caller)
    return [*process.store.counted.values()][-1].tokens
