"""What surrounds every endpoint: private headers, preflights, the API's own documentation."""

import inspect
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi.dependencies.models import Dependant

from functions.app import ENDPOINTS, create_app
from shared.http.application import CORS_HEADERS, PREFIX
from shared.http.routing import CheckedRoute
from tests.support.unit_settings import SECRET_KEY, unit_settings


@asynccontextmanager
async def client_of(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the whole application in this process."""
    app = create_app(settings=unit_settings(**settings))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://bundle") as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("HEAD", "/health", 200),
        ("GET", "/functions/v1/conversations", 401),
        ("GET", "/nowhere", 404),
        ("DELETE", "/health", 405),
        ("OPTIONS", "/functions/v1/mega-mind", 405),
        ("GET", "/functions/v1/openapi.json", 200),
        ("GET", "/functions/v1/docs", 200),
    ],
)
async def test_every_response_is_private_and_of_the_type_it_names(
    method: str, path: str, status: int
) -> None:
    """Errors and refusals too: no proxy keeps one, and no browser guesses."""
    async with client_of() as client:
        response = await client.request(method, path)
    assert response.status_code == status
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_head_asks_as_get_does_and_gets_no_body() -> None:
    """For load balancers that probe with it; elsewhere the 405 says what there is."""
    async with client_of() as client:
        head = await client.head("/health")
        refused = await client.head("/functions/v1/conversations")
        wrong = await client.put("/health")
    assert (head.status_code, refused.status_code) == (200, 405)
    assert wrong.headers["allow"] == "GET, HEAD"


async def test_a_browser_may_send_what_supabase_js_sends_inside_a_trace() -> None:
    """The preflight allows each header, those of W3C traces too."""
    wanted = ["traceparent", "tracestate", "baggage", "x-client-info", "apikey", "authorization"]
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": ",".join(wanted),
    }
    async with client_of() as client:
        response = await client.options("/functions/v1/mega-mind", headers=headers)
    assert response.status_code == 200
    allowed = re.split(r", *", response.headers["access-control-allow-headers"].lower())
    assert {*wanted, *CORS_HEADERS} <= {*allowed}


async def test_the_documentation_loads_nothing_from_elsewhere() -> None:
    """Its script and style come from here, and its policy lets no other script run."""
    async with client_of() as client:
        page = await client.get(f"{PREFIX}/docs")
        assets = [
            await client.get(f"{PREFIX}/docs/{name}")
            for name in ("swagger-ui-bundle.js", "swagger-ui.css")
        ]
        missing = await client.get(f"{PREFIX}/docs/main.py")
    policy = page.headers["content-security-policy"]
    (nonce,) = {*re.findall(r'nonce="([^"]+)"', page.text)}
    assert f"script-src 'nonce-{nonce}'" in policy
    assert "default-src 'none'" in policy
    assert re.findall(r"https?://", page.text) == []
    assert [asset.status_code for asset in assets] == [200, 200]
    assert all(len(asset.content) > 100_000 for asset in assets)
    assert missing.status_code == 404


@pytest.mark.parametrize("path", ["docs", "openapi.json", "docs/swagger-ui.css"])
async def test_the_documentation_can_be_switched_off(path: str) -> None:
    """Then there is nothing at its addresses."""
    async with client_of(api_docs=False) as client:
        response = await client.get(f"{PREFIX}/{path}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_nothing_that_a_handler_asks_for_runs_in_a_thread() -> None:
    """FastAPI gives each plain function a thread, at more than the function's own cost."""
    modules = [import_module(f"functions.{name.replace('-', '_')}") for name in ENDPOINTS]
    routes = [route for module in modules for route in module.router.routes]
    asked = [call for route in routes for call in _dependencies(route.dependant)]
    assert [call for call in asked if not _is_coroutine(call)] == []


def _dependencies(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _dependencies(dependency)


def _is_coroutine(call: Any) -> bool:
    called = call if inspect.isroutine(call) else call.__call__
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)


async def test_an_address_is_tried_by_its_own_endpoint_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many endpoints stand before it in the table."""
    tried: set[str] = set()
    matches = CheckedRoute.matches

    def noted(route: CheckedRoute, scope: Any) -> Any:
        tried.add(route.path)
        return matches(route, scope)

    async with client_of() as client:
        monkeypatch.setattr(CheckedRoute, "matches", noted)
        await client.get("/functions/v1/load-conversation")
    assert tried == {"/load-conversation"}


@pytest.mark.parametrize(
    "path",
    [f"conversations/{UUID(int=1)}", f"legal-holds/{UUID(int=1)}", "legal-holds", "mega-mind"],
)
async def test_a_query_has_only_what_its_endpoint_knows(path: str) -> None:
    """And once, whether a model reads it or parameters do; Supabase's clients may name a region."""
    method = "DELETE" if path.startswith("legal-holds/") else "GET"
    service = {"apikey": SECRET_KEY}
    query = {"userId": str(uuid4()), "turnId": str(uuid4())}
    if path != "mega-mind":
        del query["turnId"]
    async with client_of(store_timeout=1) as client:
        address = f"/functions/v1/{path}"
        unknown = await client.request(
            method, address, headers=service, params={**query, "limits": "1"}
        )
        known = await client.request(
            method, address, headers=service, params={**query, "forceFunctionRegion": "us-east-1"}
        )
        twice = await client.request(
            method,
            address,
            headers=service,
            params={**query, "userId": [str(uuid4()), str(uuid4())]},
        )
    assert unknown.status_code == 400
    assert [problem["field"] for problem in unknown.json()["details"]] == ["limits"]
    assert twice.status_code == 400
    assert known.status_code == 503


async def test_what_belongs_in_a_body_is_refused_in_a_query() -> None:
    """Whoever asks there for nothing to be stored would have it stored."""
    async with client_of(store_timeout=1) as client:
        refused = await client.post(
            "/functions/v1/mega-mind",
            headers={"apikey": SECRET_KEY},
            params={"persistMessages": "false"},
            json={"request": "Hello", "userId": str(uuid4())},
        )
    assert [problem["field"] for problem in refused.json()["details"]] == ["persistMessages"]
