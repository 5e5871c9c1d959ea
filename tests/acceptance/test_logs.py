"""What the bundle logs: JSON lines that tell what happened, with nobody's words or keys in them."""

import asyncio
import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from local.stack import Stack
from tests.support.hidden_forms import hidden_forms
from tests.support.process import FunctionsProcess, functions_process
from tests.support.proxy import Proxy, drops_the_answer, proxy_to, replies
from tests.support.users import User

JSON = {"content-type": "application/json"}


def told_of(lines: list[dict[str, Any]], event: str) -> Counter[tuple[str, str]]:
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
    assert told_of(lines, "message_saving") == dict.fromkeys(stored, 1)
    assert told_of(lines, "message_saved") == dict.fromkeys(stored, 1)
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
    saving, saved = told_of(lines, "message_saving"), told_of(lines, "message_saved")
    assert len(stored) == 2
    assert saved == dict.fromkeys(stored, 1)
    assert set(saving.values()) == {1}
    assert stored <= set(saving)
    assert sum(role == "user" for _, role in saving) == 26


async def test_the_request_id_is_in_every_line_and_in_the_answer(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """The caller's own where it is sensible, a new one where not; also for refusals and faults."""
    closed_realtime = {"REALTIME_TIMEOUT": "0.2", "LOG_LEVEL": "debug"}
    async with (
        proxy_to(stack.settings.url) as proxy,
        functions_process(stack, tmp_path, SUPABASE_URL=proxy.url, **closed_realtime) as process,
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
    assert all(told.count("request") == 1 for told in events.values())
    assert {"message_saving", "message_saved"} <= set(events["turn"])
    assert "store_unavailable" in events["store down"]
    assert "token_refused" in events["bad token"]
    done = {line["request_id"]: line for line in lines if line["event"] == "request"}
    for name, answer in answers.items():
        assert done[ids[name]]["status"] == answer.status_code
        assert done[ids[name]]["duration_ms"] >= 0


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


async def provoke(client: httpx.AsyncClient, proxy: Proxy, canary: str) -> list[httpx.Response]:
    """Send the canary everywhere it can go, and force every kind of error."""
    leaky = {"code": "XX000", "message": canary, "details": f"row ({canary})", "hint": canary}
    title, some = {"title": canary}, f"/conversations/{uuid.uuid4()}"
    answers = []

    async def ask(content: Any, **headers: str) -> httpx.Response:
        sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await client.post("/mega-mind", content=sent, headers={**JSON, **headers})

    good = {"request": canary, "metadata": {"note": canary}}
    assert (await ask(good)).status_code == 200
    # The caller is told which of the fields they sent is unknown; the log is not.
    assert (await ask({canary: canary})).status_code == 400
    answers += [
        await ask({"request": canary, "role": canary}),
        await ask({"request": 5, "metadata": {canary: canary}, "projectId": canary}),
        await ask(json.dumps(good).encode()[:-1]),
        await ask(f'{{"request": "{canary}\\u0000"}}'.encode()),
        await ask(f'{{"{canary}": 1, "{canary}": 2}}'.encode()),
        await ask({"request": canary, "conversationId": str(uuid.uuid4())}),
        await ask({"request": canary, "userId": str(uuid.uuid4())}),
        await client.post("/conversations", json={"title": canary * 20}),
        await client.patch(some, json=title),
        await client.get("/load-conversation", params={"conversationId": canary}),
        await client.get("/conversations", params={"cursor": canary}),
        await ask(good, authorization=f"Bearer {canary}"),
        await ask(good, authorization=f"Basic {canary}"),
        await ask(good, apikey=canary, authorization=f"Bearer {canary}"),
    ]
    for behaviour in (
        replies(500, leaky),
        replies(400, {**leaky, "code": "22P02"}),
        replies(409, {**leaky, "code": "23505"}),
        replies(404, {**leaky, "code": "PGRST202"}),
        replies(403, {**leaky, "code": "42501"}),
        replies(200, {"outcome": canary}),
        replies(502, f"<html>{canary}</html>".encode()),
        drops_the_answer,
    ):
        proxy.on("begin_turn", behaviour)
        proxy.on("create_conversation", behaviour)
        answers += [await ask(good), await client.post("/conversations", json=title)]
    return answers


async def test_no_log_and_no_error_holds_anybodys_words_or_keys(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """At debug level, with every error forced: not one canary in the log or in an error."""
    environment = stack.settings.environment()
    canary = f"canary-{uuid.uuid4().hex}-é"
    secrets = {
        "words": canary.removesuffix("-é"),
        "token": user.token,
        "token's claims": user.token.split(".")[1],
        "token's signature": user.token.split(".")[2],
        "secret key": environment["SUPABASE_SECRET_KEY"],
        "publishable key": environment["SUPABASE_PUBLISHABLE_KEY"],
        "JWT secret": environment["SUPABASE_JWT_SECRET"],
        "model key": f"sk-{uuid.uuid4().hex}",
    }
    async with (
        proxy_to(stack.settings.url) as proxy,
        functions_process(
            stack,
            tmp_path,
            SUPABASE_URL=proxy.url,
            LOG_LEVEL="debug",
            MEGA_MIND_API_KEY=secrets["model key"],
        ) as process,
        process.client(user.token) as client,
    ):
        client.headers["apikey"] = environment["SUPABASE_PUBLISHABLE_KEY"]
        errors = await provoke(client, proxy, secrets["words"])
    assert all(answer.status_code >= 400 or answer.status_code == 201 for answer in errors)
    assert_clean("log", process.log.read_text(), secrets)
    for answer in errors:
        if answer.status_code >= 400:
            what = f"{answer.status_code} {answer.request.method} {answer.request.url.path}"
            assert_clean(what, answer.text + str(answer.headers), secrets)
    assert_said_enough(process)


def assert_clean(what: str, text: str, secrets: dict[str, str]) -> None:
    """Check that no secret is in the text, plain or in disguise."""
    leaks = [name for name, value in secrets.items() if any(f in text for f in hidden_forms(value))]
    assert leaks == [], f"{what} holds {leaks}: {text[:2000]}"


def assert_said_enough(process: FunctionsProcess) -> None:
    """Check that the log is quiet about people, not about faults."""
    events = {line["event"] for line in process.lines()}
    assert {"message_saved", "token_refused", "store_unavailable", "store_call_refused"} <= events
