"""The network between any two parts misbehaves: who sees what, what is stored, how it heals.

Verbs are toxiproxy's. Function and store are two HTTP calls apart, so each verb is tried in front
of the first and of the second; behind the store it is tried from the start.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from shared.config import Settings
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.fault_turns import (
    COMPLETED,
    LONG_LEASE,
    RUNNING,
    SHORT_LEASE,
    TAKEN_OVER,
    ask,
    turns_of,
    until_answered,
)
from tests.support.gateway import second_gateway
from tests.support.network_faults import Proxy, proxy_to
from tests.support.users import User

VERBS: dict[str, dict[str, Any]] = {
    "latency": {"latency": 0.02},
    "bandwidth": {"bandwidth": 100_000, "slice_to": 500},
    "slice": {"slice_to": 11},
    "limit": {"limit": 60},
    "reset": {"reset": True},
    "hang": {"hang": True},
    "drop_answer": {"drop_answer": True},
    "down": {},
}
HARMLESS = ["latency", "bandwidth", "slice"]
NOT_ARRIVED = ["reset", "hang", "down"]
ANSWER_LOST = ["limit", "drop_answer"]

# Behind the store: only where the answer is what was lost may anything have been stored.
STORED_BEHIND: dict[str, tuple[list[Any], ...]] = {
    **dict.fromkeys(HARMLESS, (COMPLETED,)),
    **dict.fromkeys(NOT_ARRIVED, ([],)),
    **dict.fromkeys(ANSWER_LOST, ([], RUNNING)),
}


async def poison(proxy: Proxy, verb: str) -> None:
    """Let the proxy misbehave in this way from now on."""
    for name, value in VERBS[verb].items():
        setattr(proxy.faults, name, value)
    if verb == "down":
        await proxy.down()


async def heal(proxy: Proxy, verb: str) -> None:
    """Let it behave again, after making sure that it did not."""
    assert proxy.faults.bites[verb] > 0
    proxy.faults.clear()
    if verb == "down":
        await proxy.up()
    else:
        proxy.reset_all()  # what it has swallowed never comes


def through(stack: Stack, proxy: Proxy, **settings: Any) -> Settings:
    """Return settings for a bundle that reaches the stack through the proxy alone."""
    return settings_for(stack, supabase_url=f"http://127.0.0.1:{proxy.port}", **settings)


@pytest.fixture
async def store(stack: Stack) -> AsyncIterator[Proxy]:
    """A proxy in front of the store."""
    async with proxy_to(stack.settings.ports.api) as proxy:
        yield proxy


@pytest.mark.promise("take-over", red="a new message id each time")
@pytest.mark.promise("one key, one effect")
@pytest.mark.parametrize("verb", [*NOT_ARRIVED, *ANSWER_LOST])
async def test_a_broken_road_to_the_store_is_a_503_that_the_same_key_heals(
    stack: Stack, user: User, db: psycopg.Connection, store: Proxy, verb: str
) -> None:
    """Nothing is stored, or the message alone; then the retry works on the one turn there is.

    At once: the process knows that nobody does.
    """
    engine = ScriptedEngine("Done.")
    settings = through(stack, store, **LONG_LEASE)
    async with bundle(settings, token=user.token, engine=engine) as client:
        await poison(store, verb)
        refused = await ask(client)
        stored = turns_of(db, user)
        await heal(store, verb)
        answer = await until_answered(client)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert stored == (RUNNING if verb in ANSWER_LOST else [])
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert turns_of(db, user) == COMPLETED
    assert engine.requests == ["Hello"]


@pytest.mark.promise("Postgres away", red="a proxy that went down serves what was being connected")
async def test_the_road_behind_the_store_may_break_as_well(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """Between store and Postgres: what is slow is answered, what is broken is a 503 that heals."""
    engine = ScriptedEngine("Done.")
    async with proxy_to(stack.settings.ports.db) as postgres:
        db_url = stack.settings.db_url.replace(f":{stack.settings.ports.db}/", f":{postgres.port}/")
        async with second_gateway(stack, tmp_path, LOCAL_DB_URL=db_url) as port:
            url = f"http://127.0.0.1:{port}"
            settings = settings_for(
                stack, supabase_url=url, **{**SHORT_LEASE, "store_timeout": 2, "lease_seconds": 5}
            )
            async with bundle(settings, token=user.token, engine=engine) as client:
                await until_answered(client, "before")
                for verb in VERBS:
                    await poison(postgres, verb)
                    first = await ask(client, verb)
                    stored = turns_of(db, user, verb)
                    await heal(postgres, verb)
                    answer = await until_answered(client, verb)
                    assert first.status_code == (200 if verb in HARMLESS else 503), verb
                    assert stored in STORED_BEHIND[verb], verb
                    assert (answer.status_code, answer.json()["success"]) == (200, True), verb
                    assert turns_of(db, user, verb) in (COMPLETED, TAKEN_OVER), verb
    assert len(engine.requests) == 1 + len(VERBS)


@pytest.mark.promise("Realtime away")
async def test_the_road_to_realtime_may_break_in_any_way(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """Nobody who sends a message notices; only the passing live events are missed."""
    async with proxy_to(stack.settings.ports.realtime) as realtime:
        url = f"http://127.0.0.1:{realtime.port}"
        async with second_gateway(stack, tmp_path, REALTIME_URL=url) as port:
            for verb in VERBS:
                settings = settings_for(
                    stack,
                    supabase_url=f"http://127.0.0.1:{port}",
                    realtime_timeout=0.3,
                    offline_delay=0.02,  # what ends at once sends nothing by this road
                )
                async with bundle(settings, token=user.token) as client:
                    await poison(realtime, verb)
                    answer = await ask(client, verb)
                    await heal(realtime, verb)
                assert (answer.status_code, answer.json()["success"]) == (200, True), verb
    assert turns_of(db, user) == COMPLETED * len(VERBS)
