"""Places of open requests: taken before a body is read, held until the response was sent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from shared.auth.caller import Caller
from shared.http.application import create_app
from shared.http.dependencies import ExportPlace, HeavyReadPlace
from shared.http.routing import EndpointRouter
from shared.models.base import RequestBody
from shared.shares import EXPORTS_EACH, HEAVY_READS_EACH, REQUESTS_EACH, Places, Shares
from tests.support.unit_settings import unit_settings

router = EndpointRouter("thing")


class Body(RequestBody):
    """Anything."""

    number: int = 0


@router.post("")
async def answer_slowly(body: Body) -> StreamingResponse:
    """Begin an answer, and end it when the test lets it."""
    return StreamingResponse(slowly())


@router.get("/heavy")
async def read_slowly(_: HeavyReadPlace) -> StreamingResponse:
    """Begin what takes long to read."""
    return StreamingResponse(slowly())


@router.get("/export")
async def export_slowly(_: ExportPlace) -> StreamingResponse:
    """Begin a file."""
    return StreamingResponse(slowly())


async def slowly() -> AsyncIterator[bytes]:
    yield b"begun"
    await ending[0].wait()


ending: list[asyncio.Event] = []


class AsTheTokenSays:
    """Takes the token for the user's id; none is the service."""

    async def caller(self, headers: Any) -> Caller:
        """Return who is calling."""
        token = headers.get("authorization")
        return Caller(UUID(token), token) if token else Caller(None, None)


class Held:
    """Nothing but what a request needs of a container."""

    def __init__(self) -> None:
        self.settings = unit_settings(allow_anonymous_demo=True)
        self.shares = Shares(self.settings)
        self.authenticator = AsTheTokenSays()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Serve the thing; nobody waits for a place."""
    ending[:] = [asyncio.Event()]
    application = create_app(router, settings=unit_settings())
    application.state.container = held = Held()
    for places in vars(held.shares).values():
        if isinstance(places, Places):
            monkeypatch.setattr(places, "_patience", 0)
    return application


def client_of(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://thing", headers=headers)


def as_user() -> dict[str, str]:
    return {"authorization": str(uuid4())}


@pytest.mark.parametrize("who", ["user", "stranger"])
async def test_a_users_open_requests_are_so_many(app: FastAPI, who: str) -> None:
    """Until their answers have ended; one more is a 429, another user's is none, nor the service's.

    Strangers are one user.
    """
    headers = as_user() if who == "user" else {}
    async with client_of(app, **headers) as client, client_of(app) as stranger:
        others = [client_of(app, **as_user()), client_of(app, apikey="key")]
        held = [asyncio.create_task(client.post("/thing", json={})) for _ in range(REQUESTS_EACH)]
        await asyncio.sleep(0.1)
        unread = client.build_request("POST", "/thing", content=never_read(), headers=JSON)
        refused = await client.send(unread)
        passing = [asyncio.create_task(other.post("/thing", json={})) for other in others]
        if who == "user":
            passing.append(asyncio.create_task(stranger.post("/thing", json={})))
        await asyncio.sleep(0.1)
        ending[0].set()
        answers = await asyncio.gather(*held, *passing)
        after = await client.post("/thing", json={})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "2"
    assert {answer.text for answer in [*answers, after]} == {"begun"}


JSON = {"content-type": "application/json"}


async def never_read() -> AsyncIterator[bytes]:
    raise AssertionError("a body was read before its place was there")
    yield b""


@pytest.mark.parametrize(
    ("path", "each"), [("/heavy", HEAVY_READS_EACH), ("/export", EXPORTS_EACH)]
)
async def test_what_costs_more_has_a_share_of_its_own(app: FastAPI, path: str, each: int) -> None:
    """Which is held until the answer was sent, and keeps nothing else waiting."""
    async with client_of(app, **as_user()) as client:
        held = [asyncio.create_task(client.get(f"/thing{path}")) for _ in range(each)]
        await asyncio.sleep(0.1)
        refused = await client.get(f"/thing{path}")
        other = asyncio.create_task(client.post("/thing", json={}))
        await asyncio.sleep(0)
        ending[0].set()
        answers = await asyncio.gather(*held, other)
    assert refused.status_code == 429
    assert [answer.status_code for answer in answers] == [200] * (each + 1)


async def test_a_body_of_very_many_fields_is_refused_before_each_is_looked_at(
    app: FastAPI,
) -> None:
    """A few wrong ones are named; thousands are not."""
    async with client_of(app, **as_user()) as client:
        few = await client.post("/thing", json={f"f{n}": 1 for n in range(50)})
        many = await client.post("/thing", json={f"f{n}": 1 for n in range(5_000)})
    assert (few.status_code, many.status_code) == (400, 400)
    assert len(few.json()["details"]) == 20
    assert many.json()["details"] is None
