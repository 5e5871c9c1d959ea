"""A large import through a gateway that cuts calls and loses answers: it never fails, nor doubles.

`FAULT_IMPORT_MESSAGES` is how many messages there are: half of them in one conversation.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.imports import importer
from tests.support.bundle import bundle, settings_for
from tests.support.importing import JSON, broken, count_of
from tests.support.provider_files import as_bytes
from tests.support.proxy import Exchange, Proxy, drops_the_answer, passes, proxy_to
from tests.support.sse import Event, read_events
from tests.support.users import User

pytestmark = pytest.mark.promise("imports", red="what came of a part not written down with it")

MESSAGES = int(os.environ.get("FAULT_IMPORT_MESSAGES", "6000"))
CUT_SECONDS = 30
STREAM = {**JSON, "accept": "text/event-stream", "idempotency-key": "one"}


def large_file() -> bytes:
    """Return one long conversation, and as many messages in short ones."""
    long = [{"role": "user", "content": f"Long {n}"} for n in range(MESSAGES // 2)]
    short: list[object] = [
        {"messages": [{"role": "user", "content": f"Short {n} {k}"} for k in range(100)]}
        for n in range(MESSAGES // 200)
    ]
    return as_bytes([*short[:10], {"title": "Long", "messages": long}, *short[10:]])


async def cut_in_time(exchange: Exchange) -> None:
    """Pass a call on, as a gateway that gives it thirty seconds."""
    async with asyncio.timeout(CUT_SECONDS):
        await passes(exchange)


def losing_every(nth: int) -> Any:
    """Return what loses every so many answers behind the commit."""
    numbers = count(1)

    async def behave(exchange: Exchange) -> None:
        await (drops_the_answer if next(numbers) % nth == 0 else cut_in_time)(exchange)

    return behave


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[Proxy]:
    """A gateway in front of the store."""
    async with proxy_to(stack.settings.url) as proxy:
        proxy.on_everything(cut_in_time)
        yield proxy


async def streamed(client: httpx.AsyncClient, file: bytes) -> list[Event]:
    """Import a file as a stream; return the events since it was read.

    While another of the user's files is read, it is asked to come again.
    """
    while True:
        async with client.stream(
            "POST", "/import-conversation", content=file, headers=STREAM, timeout=None
        ) as answer:
            events = [event async for event in read_events(answer)]
        if answer.status_code != 503:
            return [event for event in events if event.data.get("total") != 0]


async def test_a_large_import_never_fails_and_doubles_nothing(
    stack: Stack, user: User, db: psycopg.Connection, gateway: Proxy
) -> None:
    """Answers are lost behind the commit; the report says of all that it was taken."""
    gateway.on("take_import_part", losing_every(3))
    async with bundle(settings_for(stack, supabase_url=gateway.url), token=user.token) as client:
        events = await streamed(client, large_file())
    names = [event.name for event in events]
    report = events[-1].data
    assert names == ["progress"] * (len(names) - 1) + ["done"]
    assert (report["messages"], report["skipped"]) == (MESSAGES, [])
    assert count_of(db, user) == (MESSAGES // 200 + 1, MESSAGES, 0)
    assert broken(db, [row["conversationId"] for row in report["taken"]]) == []


async def test_what_was_begun_is_gone_on_with_by_several_at_once(
    stack: Stack, user: User, db: psycopg.Connection, gateway: Proxy, monkeypatch: Any
) -> None:
    """As by a client that was cut off, beside the call that still runs: one import, one report."""
    monkeypatch.setattr(importer, "ANSWER_SECONDS", 0)
    monkeypatch.setattr(importer, "LEAST_SECONDS", 0)
    file = large_file()
    headers = {**JSON, "idempotency-key": "one"}
    async with bundle(settings_for(stack, supabase_url=gateway.url), token=user.token) as client:
        asked = [
            await client.post("/import-conversation", content=file, headers=headers)
            for _ in range(2)
        ]
        hidden = count_of(db, user)
        seen = (await user.functions.get("/conversations")).json()["conversations"]
        both = await asyncio.gather(streamed(client, file), streamed(client, file))
        again = await client.post("/import-conversation", content=file, headers=headers)
    reports = [events[-1].data for events in both]
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in asked} == {(202, "1")}
    done = [answer.json()["done"] for answer in asked]
    assert 0 < done[0] < done[1] < MESSAGES
    assert hidden is not None
    assert hidden[2] == 1
    assert "Long" not in {row["title"] for row in seen}
    assert reports[0] == reports[1] == again.json()
    assert reports[0]["messages"] == MESSAGES
    assert count_of(db, user) == (MESSAGES // 200 + 1, MESSAGES, 0)
