"""What the bundle logs: JSON lines that tell what happened, with nobody's words or keys in them."""

import asyncio
import uuid
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.process import functions_process
from tests.support.proxy import proxy_to, replies
from tests.support.users import User


def counts_of(lines: list[dict[str, Any]], event: str) -> Counter[tuple[str, str]]:
    """Count an event for each message id and role."""
    return Counter((line["message_id"], line["role"]) for line in lines if line["event"] == event)


def stored_ids(db: psycopg.Connection, user: User) -> set[tuple[str, str]]:
    """Return id and role of every message of a user."""
    rows = db.execute("select id::text, role from messages where user_id = %s", (user.id,))
    return {(message_id, role) for message_id, role in rows}


def of_requests(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines that requests caused: those behind the start-up's and before the end's."""
    first = next(n for n, line in enumerate(lines) if line["event"] == "request")
    last = max(n for n, line in enumerate(lines) if line["event"] == "request")
    return lines[first : last + 1]


async def test_every_message_is_logged_as_saving_and_saved_exactly_once(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """Two lines for each stored row, by its id, with its place; the answer carries the same id."""
    async with (
        functions_process(stack, tmp_path) as process,
        process.client(user.token) as client,
    ):
        answers = [await client.post("/mega-mind", json={"request": text}) for text in "abc"]
    lines = process.lines()
    stored = stored_ids(db, user)
    assert len(stored) == 6
    assert counts_of(lines, "message_saving") == dict.fromkeys(stored, 1)
    assert counts_of(lines, "message_saved") == dict.fromkeys(stored, 1)
    saved = [line for line in lines if line["event"] == "message_saved"]
    assert {line["turn_id"] for line in saved} == {a.json()["turnId"] for a in answers}
    assert {line["conversation_id"] for line in saved} == {
        a.json()["conversationId"] for a in answers
    }
    order = [(line["event"], line.get("role")) for line in lines if "message_id" in line]
    assert order[:4] == [
        ("message_saving", "user"), ("message_saved", "user"),
        ("message_saving", "assistant"), ("message_saved", "assistant"),
    ]  # fmt: skip


async def test_what_was_never_stored_is_never_logged_as_saved(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """24 callers with one key, a replay, and a refused one: still two saved rows, once each."""
    async with (
        functions_process(stack, tmp_path) as process,
        process.client(user.token) as client,
    ):
        key = {"Idempotency-Key": "k"}
        await client.get("/conversations")

        async def ask(text: str) -> httpx.Response:
            return await client.post("/mega-mind", json={"request": text}, headers=key)

        await asyncio.gather(*(ask("same") for _ in range(24)))
        assert (await ask("same")).json()["replayed"] is True
        assert (await ask("other")).status_code == 422
    lines = process.lines()
    stored = stored_ids(db, user)
    saving, saved = counts_of(lines, "message_saving"), counts_of(lines, "message_saved")
    assert len(stored) == 2
    assert saved == dict.fromkeys(stored, 1)
    assert set(saving.values()) == {1}
    assert stored <= set(saving)
    assert sum(role == "user" for _, role in saving) == 26


async def test_the_request_id_is_in_every_line_and_in_the_answer(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """The caller's own where it is sensible, a new one where not; also for refusals and faults."""
    noisy = {"REALTIME_TIMEOUT": "0.2", "LOG_LEVEL": "debug", "OFFLINE_DELAY": "0.1"}
    async with (
        proxy_to(stack.settings.url) as proxy,
        functions_process(stack, tmp_path, SUPABASE_URL=proxy.url, **noisy) as process,
        process.client(user.token) as client,
    ):
        proxy.on("broadcast", replies(500, b"<html>"))
        proxy.on("load_conversation", replies(502, b"<html>"))
        own = {"x-request-id": "mine-1.2:3_4"}
        some = {"conversationId": str(uuid.uuid4())}
        bad = {"authorization": "Bearer nonsense"}
        answers = {
            "turn": await client.post("/mega-mind", json={"request": "x"}, headers=own),
            "again": await client.post("/mega-mind", json={"request": "x"}),
            "store down": await client.get("/load-conversation", params=some),
            "bad input": await client.post("/mega-mind", json={}),
            "bad token": await client.post("/mega-mind", json={}, headers=bad),
            "nowhere": await client.get("/nothing"),
            "too long": await client.get("/health", headers={"x-request-id": "x" * 129}),
            "not sensible": await client.get("/health", headers={"x-request-id": 'a" b\\'}),
        }
    lines = of_requests(process.lines())
    ids = {name: answer.headers["x-request-id"] for name, answer in answers.items()}
    assert ids["turn"] == "mine-1.2:3_4"
    assert len(set(ids.values())) == len(ids)
    assert {"x" * 129, 'a" b\\'}.isdisjoint(ids.values())
    of_no_request = {line["event"] for line in lines if "request_id" not in line}
    assert of_no_request == {"broadcast_failed"}  # what several turns may share
    events = {
        name: [line["event"] for line in lines if line.get("request_id") == request_id]
        for name, request_id in ids.items()
    }
    assert all(names.count("request") == 1 for names in events.values())
    assert {"message_saving", "message_saved"} <= set(events["turn"])
    assert "store_unavailable" in events["store down"]
    assert "token_refused" in events["bad token"]
    done = {line["request_id"]: line for line in lines if line["event"] == "request"}
    for name, answer in answers.items():
        assert done[ids[name]]["status"] == answer.status_code
        assert done[ids[name]]["duration_ms"] >= 0


@pytest.mark.promise("client gone", red="answered with a 500 that nobody reads")
async def test_a_client_that_goes_away_while_it_sends_is_no_error_of_ours(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """Its request is one line, with the status of those who did not wait."""
    head = (
        "POST /functions/v1/mega-mind HTTP/1.1\r\nHost: here\r\n"
        f"Authorization: Bearer {user.token}\r\nContent-Type: application/json\r\n"
        "X-Request-Id: gone\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    )
    async with functions_process(stack, tmp_path) as process:
        where = urlsplit(process.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(head.encode())
        assert b"100 Continue" in await reader.readline()  # its body is being read
        writer.write(b'{"request": "Hel')
        await writer.drain()
        writer.close()
    lines = [line for line in process.lines() if line.get("request_id") == "gone"]
    assert [(line["event"], line.get("status")) for line in lines] == [("request", 499)]
