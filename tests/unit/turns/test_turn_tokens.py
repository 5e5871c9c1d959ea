"""What a turn takes counts towards its user's limits while it runs, each attempt once."""

import asyncio

import pytest

from shared.ai.protocol import Usage
from shared.ai.tokens import estimate_tokens
from tests.support.engines import ScriptedEngine, TypingEngine
from tests.support.heart import Process, until
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import Held, away

TEXT = "Nine byte" * 5
ASKED = estimate_tokens("Hello")
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
    assert (store.tokens_of(turn.id), engine.runs) == (ASKED + estimate_tokens(TEXT), 1)


async def test_a_reply_that_is_handed_on_counts_once() -> None:
    """Its worker was refused, and the next one here stores it."""
    store, engine = InMemoryStore(), ScriptedEngine(TEXT, hold=True)
    process = Process(store, engine)
    losing = process.asking()
    await asyncio.sleep(2)
    (turn,) = store.turns.values()
    store.faults["load_turn"] = ending = Held()
    turn.attempt, turn.lease_until = 2, 0  # of a process that took it over and died
    engine.release.set()
    await ending.committed.wait()
    await process.ask()
    ending.release.set()
    await asyncio.wait({losing})
    assert (store.tokens_of(turn.id), engine.requests) == (
        ASKED + estimate_tokens(TEXT),
        ["Hello"],
    )
