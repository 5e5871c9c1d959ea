"""A hosted project's forwarders, under real Deno, in front of the real bundle."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from local.stack import Stack
from shared.config import Settings
from tests.support.ai_sdk import ai_sdk_chat
from tests.support.backends import in_front_of, nowhere, replies
from tests.support.bundle import settings_for
from tests.support.edge import SECRET, Edge, edge_functions, function_names
from tests.support.engines import TypingEngine
from tests.support.server import served_bundle
from tests.support.sse import data_of, read_events, text_of, until
from tests.support.users import User

PIECES = ["One, ", "two, ", "three."]
ASK = {"request": "Count"}
EVENTS = {"accept": "text/event-stream"}
ORIGIN = "https://app.example"


def guarded(stack: Stack) -> Settings:
    """Return settings of a bundle that only its forwarders may call."""
    return settings_for(stack, forward_secrets=(SECRET,))


@asynccontextmanager
async def forwarded_bundle(
    stack: Stack, folder: Path, engine: TypingEngine | None = None, **limits: str
) -> AsyncIterator[Edge]:
    """Run forwarders in front of a bundle that only they may call."""
    async with (
        served_bundle(guarded(stack), engine=engine) as url,
        edge_functions(url.removesuffix("/functions/v1"), folder, **limits) as edge,
    ):
        yield edge


@pytest.mark.parametrize("prefix", ["", "/functions/v1"])
async def test_a_turn_goes_through_and_reads_the_same_on_both_sides(
    stack: Stack, user: User, tmp_path: Path, prefix: str
) -> None:
    """Also with two megabytes of text, and whether or not the path still has its prefix."""
    engine = TypingEngine(PIECES)
    engine.allow(len(PIECES) + 1)
    request = "é" * 1_000_000
    async with (
        forwarded_bundle(stack, tmp_path, engine) as edge,
        edge.client(user.token, prefix=prefix) as client,
    ):
        turn = await client.post("/mega-mind", json={"request": request})
        query = {"conversationId": turn.json()["conversationId"]}
        loaded = await client.get("/load-conversation", params=query)
    assert turn.status_code == 200, turn.text
    assert loaded.json()["messages"] == (await user.load(**_id(turn))).json()["messages"]
    assert [m["content"] for m in loaded.json()["messages"]] == [request, "".join(PIECES)]


@pytest.mark.promise("forwarders")
async def test_the_first_event_comes_before_the_engine_has_written(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """And every piece as it is written, to `done`."""
    engine = TypingEngine(PIECES)
    async with (
        forwarded_bundle(stack, tmp_path, engine) as edge,
        edge.client(user.token) as client,
        client.stream("POST", "/mega-mind", json=ASK, headers=EVENTS) as answer,
    ):
        stream = read_events(answer)
        seen = [await anext(stream)]
        for piece in PIECES:
            engine.allow()
            seen += await until(stream, "delta")
            assert text_of(seen).endswith(piece)
        engine.allow()
        seen += [event async for event in stream]
    assert (seen[0].name, seen[-1].name) == ("accepted", "done")
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.promise("forwarders")
async def test_a_client_that_goes_away_does_not_end_the_turn(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """The reply is stored whole, and following the turn gives what was missed."""
    engine = TypingEngine(PIECES)
    async with forwarded_bundle(stack, tmp_path, engine) as edge, edge.client(user.token) as client:
        async with client.stream("POST", "/mega-mind", json=ASK, headers=EVENTS) as answer:
            engine.allow()
            seen = await until(read_events(answer), "delta")
        engine.allow(len(PIECES))
        query = {"turnId": seen[0].data["turnId"]}
        last_seen = {"last-event-id": seen[-1].id}
        rest = await client.get("/mega-mind", params=query, headers=last_seen)
    stored = db.execute(
        "select content from messages where turn_id = %s and role = 'assistant'",
        (query["turnId"],),
    ).fetchall()
    assert stored == [("".join(PIECES),)]
    assert "event: done" in rest.text
    assert PIECES[0] not in [e["text"] for e in data_of(rest.text) if "text" in e]


@pytest.mark.promise("forwarders", red="the body read whole by the forwarder")
async def test_a_body_goes_up_before_it_is_whole(tmp_path: Path) -> None:
    """The client sends a piece only when the backend has the one before it."""
    piece = b"x" * 100_000
    room = asyncio.Semaphore(1)

    async def four_pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            await room.acquire()
            yield piece

    async def count(request: Request) -> Response:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size % len(piece) == 0:
                room.release()
        return JSONResponse(size)

    async with (
        in_front_of(count, tmp_path) as (edge, _),
        edge.client() as client,
        asyncio.timeout(20),
    ):
        answer = await client.post("/mega-mind", content=four_pieces())
    assert answer.json() == 4 * len(piece)


@pytest.mark.promise("forwarders", red="the body read whole by the forwarder")
async def test_a_body_comes_down_before_it_is_whole(tmp_path: Path) -> None:
    """The backend sends a piece only when the client has the one before it."""
    piece = b"x" * 100_000
    room = asyncio.Semaphore(1)

    async def download(_: Request) -> Response:
        async def four_pieces() -> AsyncIterator[bytes]:
            for _ in range(4):
                await room.acquire()
                yield piece

        return StreamingResponse(four_pieces())

    size = 0
    async with (
        in_front_of(download, tmp_path) as (edge, _),
        edge.client() as client,
        asyncio.timeout(20),
        client.stream("GET", "/conversations") as answer,
    ):
        async for chunk in answer.aiter_raw():
            size += len(chunk)
            if size % len(piece) == 0:
                room.release()
    assert size == 4 * len(piece)


async def test_what_has_come_down_is_not_kept(tmp_path: Path) -> None:
    """An export of 300 MB leaves a worker that may have 256 MB in all as small as it was."""
    piece = b"x" * 65536

    async def download(_: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(300 * 16):
                yield piece

        return StreamingResponse(pieces(), media_type="application/zip")

    size = 0
    async with (
        in_front_of(download, tmp_path) as (edge, _),
        edge.client() as client,
        client.stream("GET", "/export-account") as answer,
    ):
        worker = psutil.Process(edge.pid)
        before = worker.memory_info().rss
        async for chunk in answer.aiter_raw():
            size += len(chunk)
        grown = worker.memory_info().rss - before
    assert size == 300 * 16 * len(piece)
    assert grown < 150_000_000


@pytest.mark.promise("forwarders", red="all headers passed on")
async def test_only_headers_that_matter_go_on(tmp_path: Path) -> None:
    """A client can say neither where it comes from nor that it was forwarded."""
    kept = {
        "idempotency-key": "a key",
        "last-event-id": "1.5",
        "x-request-id": "abc",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "apikey": "sb_publishable_x",
        "accept": "text/event-stream",
        "content-type": "application/json",
    }
    dropped = {
        "cookie": "a=b",
        "x-forward-signature": "t=1,v1=" + "0" * 64,
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-host": "evil.example",
        "forwarded": "for=10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "connection": "close",
    }
    answer = replies(200, "{}", server="secret", set_cookie="a=b", x_request_id="abc")
    async with in_front_of(answer, tmp_path) as (edge, backend), edge.client() as client:
        answered = await client.post("/mega-mind", headers=kept | dropped, content=b"{}")
    (method, _, headers), *rest = backend.heads
    sent = dict(headers)
    assert (method, rest) == ("POST", [])
    assert {name: sent.get(name) for name in kept} == kept
    assert not (dropped.keys() - {"x-forward-signature", "connection"}) & sent.keys()
    assert [name for name, _ in headers].count("x-forward-signature") == 1
    assert sent["x-forward-signature"] != dropped["x-forward-signature"]
    assert sent["accept-encoding"] == "identity"
    assert answered.headers["x-request-id"] == "abc"
    assert not {"server", "set-cookie"} & answered.headers.keys()


async def test_every_function_forwards_to_its_own_name(tmp_path: Path) -> None:
    """Path and query arrive as they were."""
    async with (
        in_front_of(replies(200, "{}"), tmp_path) as (edge, backend),
        edge.client(prefix="") as client,
    ):
        for name in function_names():
            await client.get(f"/{name}/a%2Fb%20c?q=%C3%A9&limit=1")
    expected = [f"/functions/v1/{name}/a/b c?q=%C3%A9&limit=1" for name in function_names()]
    assert [target for _, target, _ in backend.heads] == expected


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"),
    [("*", ORIGIN, "*"), (f"{ORIGIN}, https://b.example", ORIGIN, ORIGIN), (ORIGIN, "null", None)],
)
async def test_a_preflight_is_answered_without_the_backend(
    tmp_path: Path, setting: str, origin: str, allowed: str | None
) -> None:
    """With the origins that CORS_ORIGINS names, and the headers that go on."""
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, idempotency-key",
    }
    async with (
        edge_functions(nowhere(), tmp_path, CORS_ORIGINS=setting) as edge,
        httpx.AsyncClient(base_url=edge.url) as client,
    ):
        answer = await client.options("/mega-mind", headers=asked)
    assert answer.status_code == 204
    assert answer.headers.get("access-control-allow-origin") == allowed
    named = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "apikey", "x-client-info", "content-type", "last-event-id"} <= {*named}
    assert "PATCH" in answer.headers["access-control-allow-methods"]


async def test_the_services_own_errors_go_through_as_they_are(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """Also a 503 of its own, and a 401 with its challenge."""

    async def store_unavailable(_: Request) -> Response:
        return JSONResponse({"code": "store_unavailable"}, 503, {"retry-after": "7"})

    async with (
        in_front_of(store_unavailable, tmp_path) as (edge, _),
        edge.client(user.token) as client,
    ):
        own = await client.post("/mega-mind", json=ASK)
    async with (
        forwarded_bundle(stack, tmp_path) as edge,
        httpx.AsyncClient(base_url=edge.url) as stranger,
    ):
        refused = await stranger.get("/conversations")
    assert (own.json(), own.headers["retry-after"]) == ({"code": "store_unavailable"}, "7")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.promise("forwarders", red="no check at all")
async def test_whoever_comes_around_the_forwarders_is_refused(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """With a good token, and before a byte of the body is read; a forged signature is none."""
    forged = {"x-forward-signature": f"t={int(time.time())},v1={'0' * 64}"}
    headers = {"authorization": f"Bearer {user.token}"}
    async with (
        served_bundle(guarded(stack)) as url,
        httpx.AsyncClient(base_url=url, headers=headers) as client,
    ):
        answers = [
            await client.post("/mega-mind", json=ASK),
            await client.post("/mega-mind", json=ASK, headers=forged),
            await client.post("/mega-mind", content=b"x" * 1000),
            await client.get("/health", params={"deep": "1"}),
            await client.get("/openapi.json"),
        ]
        health = await client.get("/health")
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(403, "forbidden")] * 5
    assert health.status_code == 200
    assert (await user.functions.get("/conversations")).json()["conversations"] == []


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("FORWARD_URL", "", "FORWARD_URL and FORWARD_SECRET are needed"),
        ("FORWARD_FIRST_BYTE_SECONDS", "145s", "FORWARD_FIRST_BYTE_SECONDS and"),
        ("FORWARD_TOTAL_SECONDS", "-1", "FORWARD_TOTAL_SECONDS have to be numbers"),
    ],
)
async def test_a_forwarder_without_its_settings_says_so_in_its_log(
    tmp_path: Path, setting: str, value: str, line: str
) -> None:
    """And to the caller only that something is wrong."""
    async with (
        edge_functions(nowhere(), tmp_path, **{setting: value}) as edge,
        edge.client() as client,
    ):
        answer = await client.post("/mega-mind", json=ASK)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert line in edge.log.read_text()


def _id(turn: httpx.Response) -> dict[str, str]:
    return {"conversation_id": turn.json()["conversationId"]}


@pytest.mark.promise("forwarders")
@pytest.mark.parametrize("package", ["ai", "ai-6"])
async def test_a_chat_of_the_ai_sdk_that_is_cut_off_in_time_is_resumed(
    stack: Stack, user: User, tmp_path: Path, package: str
) -> None:
    """Its end is an error, and no end of the turn: to resume shows the whole reply."""
    chat_id, engine = str(uuid4()), TypingEngine(PIECES)
    async with (
        forwarded_bundle(stack, tmp_path, engine, FORWARD_TOTAL_SECONDS="6") as edge,
        ai_sdk_chat(edge.url, user.token, chat_id, package=package) as chat,
    ):
        await chat.do("send", {"text": "Count"})
        engine.allow(1)
        await chat.do("until", PIECES[0])
        cut = await chat.do("settled")
        await chat.do("resume")
        await chat.do("status", "streaming")
        engine.allow(3)
        shown = await chat.do("settled")
    assert (cut.status, cut.texts) == ("error", ["Count", PIECES[0]])
    assert (shown.status, shown.texts) == ("ready", ["Count", "".join(PIECES)])
    assert engine.runs == 1
