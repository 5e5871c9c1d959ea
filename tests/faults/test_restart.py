"""The service is restarted behind its forwarder or its gateway, with streams open through it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.crowd import STOPPED, Crowd, crowd_client, key_of, replies_of
from tests.support.edge import SECRET, edge_functions
from tests.support.envoy import envoy_gateway
from tests.support.process import functions_process
from tests.support.sse import text_of
from tests.support.stack import free_ports
from tests.support.users import User
from tests.support.waiting import until

pytestmark = pytest.mark.promise("forwarders", red="the forwarder answers 502")

ASKING_SECONDS = 0.2
QUICK = {"HEARTBEAT_SECONDS": "0.5", "STORE_TIMEOUT": "4", "LEASE_SECONDS": "13"}

Hop = Callable[[Stack, Path, int], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def through_deno(_: Stack, folder: Path, port: int) -> AsyncIterator[str]:
    """Give the address of the forwarders."""
    async with edge_functions(f"http://127.0.0.1:{port}", folder) as edge:
        yield edge.url


def through_envoy(stack: Stack, folder: Path, port: int) -> AbstractAsyncContextManager[str]:
    """Give the address of the gateway."""
    return envoy_gateway(stack, folder, functions=port)


async def ask_on_and_on(client: httpx.AsyncClient, answers: list[httpx.Response]) -> None:
    """Ask for something small again and again, until cancelled."""
    while True:
        answers.append(await client.get("/conversations", params={"limit": 1}))
        await asyncio.sleep(ASKING_SECONDS)


async def until_answered(answers: list[httpx.Response], status: int) -> None:
    """Wait for a further answer of this status."""
    known = len(answers)
    await until(lambda: any(answer.status_code == status for answer in answers[known:]))


@pytest.mark.parametrize("hop", [through_deno, through_envoy], ids=["deno", "envoy"])
async def test_a_restart_behind_a_hop_loses_no_turn_and_is_never_a_bare_error(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path, hop: Hop
) -> None:
    """Streams end with `done`, or their key ends them; all else is answered, or a 503 of ours."""
    (port,) = free_ports(1)
    settings = {
        "PORT": str(port),
        "FORWARD_SECRETS": SECRET if hop is through_deno else "",
        **QUICK,
    }
    answers: list[httpx.Response] = []
    async with hop(stack, tmp_path, port) as url, crowd_client(url, user) as client:
        crowd = Crowd([client])
        async with functions_process(stack, tmp_path, OFFLINE_DELAY="0.15", **settings) as server:
            reading = [asyncio.create_task(crowd.stream(number)) for number in range(STOPPED)]
            await until(lambda: sum(map(bool, crowd.streams)) == STOPPED)
            open_then = crowd.open_now
            asking = asyncio.create_task(ask_on_and_on(client, answers))
            server.process.terminate()
            await asyncio.wait_for(server.process.wait(), timeout=40)
        await asyncio.gather(*reading, return_exceptions=True)
        await until_answered(answers, 503)
        async with functions_process(stack, tmp_path, **settings):
            await until_answered(answers, 200)
            asking.cancel()
            for number in range(STOPPED):
                body, key = {"request": f"Stream {number}"}, {"idempotency-key": key_of(number)}
                retried = await client.post("/mega-mind", json=body, headers=key)
                assert (retried.status_code, retried.json()["success"]) == (200, True)
    refused = [answer for answer in answers if answer.status_code != 200]
    ended = [events for events in crowd.streams if events and events[-1].name == "done"]
    stored = replies_of(db, user)
    print(  # noqa: T201 - for `pytest -s`
        f"\n{open_then} streams open, {len(ended)} of {STOPPED} ended with done,"
        f" {len(refused)} of {len(answers)} other requests a 503"
    )
    assert open_then > 0
    assert {answer.status_code for answer in refused} == {503}
    assert "unavailable" in {answer.json()["code"] for answer in refused}
    assert all(answer.headers["retry-after"] for answer in refused)
    assert len(stored) == STOPPED
    assert all(len(replies) == 1 for replies in stored.values())
    assert all(stored[events[0].data["turnId"]] == [text_of(events)] for events in ended)
