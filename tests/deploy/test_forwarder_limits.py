"""Forwarders before a service that is away or slow, and at the end of their own time."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.support.backends import Answer, hangs, in_front_of, nowhere, replies
from tests.support.edge import edge_functions
from tests.support.sse import data_of

ASK = {"request": "Count"}
EVENTS = {"accept": "text/event-stream"}


def assert_unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json().keys() == {"code", "message", "details", "hint"}
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-request-id"]


@pytest.mark.promise("forwarders", red="the address in the log")
async def test_a_backend_that_is_away_is_a_503(tmp_path: Path) -> None:
    """In our own shape, at once, and the log has no word of what was asked."""
    async with edge_functions(nowhere(), tmp_path) as edge, edge.client() as client:
        answer = await client.get("/conversations", params={"cursor": "canary"})
    assert_unavailable(answer)
    assert "no answer from the service" in edge.log.read_text()
    assert "canary" not in edge.log.read_text()


@pytest.mark.promise("forwarders", red="no limit to the first byte")
async def test_a_backend_that_hangs_is_a_503_in_time(tmp_path: Path) -> None:
    """Before the platform would give up on the function."""
    async with (
        in_front_of(hangs, tmp_path, FORWARD_FIRST_BYTE_SECONDS="0.3") as (edge, backend),
        edge.client() as client,
    ):
        answer = await client.post("/mega-mind", json=ASK)
    assert_unavailable(answer)
    assert len(backend.heads) == 1


@pytest.mark.promise("forwarders", red="answers of a host passed on")
@pytest.mark.parametrize(
    "answer",
    [
        replies(502, "<h1>Bad gateway</h1>", content_type="text/html"),
        replies(503, "no healthy instance", content_type="text/plain"),
        replies(504, "{}", content_type="application/json"),
        replies(302, "", location="/elsewhere"),
        replies(404, "<h1>No such application</h1>", content_type="text/html"),
        replies(429, "Rate exceeded.", content_type="text/html"),
        replies(500, "no instance", content_type="text/plain"),
        replies(521, "<h1>Web server is down</h1>", content_type="text/html"),
        replies(200, "<h1>Parked</h1>", content_type="text/html"),
    ],
    ids=["502", "503", "504", "redirect", "404", "429", "500", "521", "page"],
)
async def test_what_a_load_balancer_says_is_our_503(tmp_path: Path, answer: Answer) -> None:
    """Never a bare 502, and a token never follows a redirect."""
    async with in_front_of(answer, tmp_path) as (edge, backend), edge.client() as client:
        assert_unavailable(await client.get("/conversations"))
    assert len(backend.heads) == 1


@pytest.mark.promise("forwarders", red="cut anywhere; closed in good order")
async def test_a_stream_at_its_time_limit_ends_with_an_error_between_events(tmp_path: Path) -> None:
    """Half an event is waited for; then comes `error`, and the end."""
    half = asyncio.Event()

    async def slow(_: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b"event: delta\nid: 1\ndata: {"
            await half.wait()
            yield b'"offset": 0}\n\n'
            await asyncio.Event().wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    async with (
        in_front_of(slow, tmp_path, FORWARD_TOTAL_SECONDS="0.3") as (edge, _),
        edge.client() as client,
        client.stream("POST", "/mega-mind", json=ASK, headers=EVENTS) as answer,
    ):
        text = ""
        async for piece in answer.aiter_text():
            text += piece
            asyncio.get_running_loop().call_later(0.6, half.set)
    assert text.startswith('event: delta\nid: 1\ndata: {"offset": 0}\n\nevent: error\ndata: {')
    assert data_of(text)[-1]["code"] == "unavailable"


async def test_the_time_limit_is_the_workers_but_half_of_it_is_each_requests(
    tmp_path: Path,
) -> None:
    """The platform ends a worker by the worker's age, and gives it nothing new from half of it on.

    So what came three seconds later ends at the same moment, and what comes at the very end of a
    worker that nobody ends has half of the time.
    """

    async def endless(_: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b": here\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    async def cut_off_at(client: httpx.AsyncClient, *, begun_after: float = 0) -> float:
        await asyncio.sleep(begun_after)
        answer = await client.post("/mega-mind", json=ASK, headers=EVENTS)
        assert "event: error" in answer.text
        return time.monotonic()

    async with (
        in_front_of(endless, tmp_path, FORWARD_TOTAL_SECONDS="8") as (edge, _),
        edge.client() as client,
    ):
        first, second = await asyncio.gather(cut_off_at(client), cut_off_at(client, begun_after=3))
        third = await cut_off_at(client)
    assert abs(second - first) < 2  # rather than three seconds
    assert 2 < third - max(first, second) < 7  # rather than none, or eight


async def test_the_workers_limit_is_the_first_bytes_too(tmp_path: Path) -> None:
    """Where that comes sooner than what the first byte may take."""
    async with (
        in_front_of(hangs, tmp_path, FORWARD_TOTAL_SECONDS="0.3") as (edge, _),
        edge.client() as client,
    ):
        assert_unavailable(await client.post("/mega-mind", json=ASK))


@pytest.mark.promise("forwarders", red="closed in good order")
async def test_any_other_body_at_its_time_limit_breaks(tmp_path: Path) -> None:
    """Half of a download must not look like all of it."""

    async def slow(_: Request) -> Response:
        async def half() -> AsyncIterator[bytes]:
            yield b'{"half": '
            await asyncio.Event().wait()

        return StreamingResponse(half(), media_type="application/json")

    async with (
        in_front_of(slow, tmp_path, FORWARD_TOTAL_SECONDS="0.3") as (edge, _),
        edge.client() as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/conversations")


async def test_a_clock_that_is_set_takes_no_request_its_time(tmp_path: Path) -> None:
    """How long a request may take is no matter of what hour it is."""
    answers = replies(200, "{}", content_type="application/json")
    async with in_front_of(answers, tmp_path, CLOCK_IS_SET="1") as (edge, _), edge.client() as one:
        assert (await one.get("/conversations")).status_code == 200
