"""The recipe for self-hosted Supabase: its gateway under real Envoy, the real stack behind it."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from local.node import NODE
from local.stack import Stack
from tests.support.bundle import settings_for
from tests.support.clients import install_clients
from tests.support.engines import TypingEngine
from tests.support.envoy import envoy_gateway
from tests.support.server import served_app, served_bundle
from tests.support.stack import free_ports
from tests.support.users import User, functions_client

PIECES = ["One, ", "two, ", "three."]
ORIGIN = "https://app.example"


@asynccontextmanager
async def self_hosted(
    stack: Stack, folder: Path, engine: TypingEngine | None = None, **settings: Any
) -> AsyncIterator[str]:
    """Run Envoy before the stack and a bundle of the test's own."""
    async with (
        served_bundle(settings_for(stack, **settings), engine=engine) as url,
        envoy_gateway(stack, folder, functions=_port(url)) as gateway,
    ):
        yield gateway


async def another_function(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the edge runtime."""
    await JSONResponse({"edge": Request(scope).url.path})(scope, receive, send)


@pytest.mark.promise("forwarders")
async def test_supabase_js_does_all_it_does_through_envoy(stack: Stack, tmp_path: Path) -> None:
    """Sign up, invoke, join, select, and be refused: each part is where it was."""
    async with self_hosted(stack, tmp_path) as gateway:
        process = await _node(stack, "application.mjs", gateway)
        out, errors = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode == 0, errors
    seen = json.loads(out)
    assert seen["joined"]["status"] == "SUBSCRIBED"
    assert seen["messages"] == [seen["turn"]["userMessage"], seen["turn"]["message"]]
    assert seen["messages"] == seen["loaded"]
    assert {e["event"] for e in seen["events"]} >= {"status", "message"}
    assert (seen["refused"]["status"], seen["unseen"], seen["missing"]) == (
        "CHANNEL_ERROR",
        [],
        404,
    )


@pytest.mark.promise("forwarders")
async def test_supabase_js_reads_a_stream_through_envoy_as_it_is_written(
    stack: Stack, tmp_path: Path
) -> None:
    """`accepted` and each piece come before the engine is allowed the next one."""
    engine = TypingEngine(PIECES)
    names: list[str] = []
    async with self_hosted(stack, tmp_path, engine) as gateway:
        process = await _node(stack, "stream.mjs", gateway)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while line := (await process.stdout.readline()).decode().strip():
                names.append(line)
                if line in {"accepted", "delta"}:
                    engine.allow()
        await process.wait()
    assert names[0] == "accepted"
    assert names.count("delta") == len(PIECES)
    assert names[-2:] == ["message", "done"]


@pytest.mark.promise("forwarders", red="a name that only begins alike is taken")
async def test_all_else_goes_where_it_went(stack: Stack, user: User, tmp_path: Path) -> None:
    """Other functions, also those that are called nearly alike, and what was closed."""
    keys = {"apikey": stack.settings.keys.publishable, "authorization": f"Bearer {user.token}"}
    async with (
        served_app(another_function) as edge,
        served_bundle(settings_for(stack)) as url,
        envoy_gateway(stack, tmp_path, functions=_port(url), edge=_port(edge)) as gateway,
        httpx.AsyncClient(base_url=gateway) as client,
    ):
        others = [
            (await client.get(f"/functions/v1/{name}")).json()
            for name in ("hello", "mega-mind-2", "my-health", "hello/mega-mind")
        ]
        ours = [
            (await client.get(f"/functions/v1/{name}", headers=keys)).status_code
            for name in ("health", "health?deep=1", "conversations", "load-conversation")
        ]
        rest = await client.get("/rest/v1/messages", headers=keys)
        closed = [(await client.get(path)).status_code for path in ("/rest/v1/messages", "/")]
    assert others == [
        {"edge": "/hello"},
        {"edge": "/mega-mind-2"},
        {"edge": "/my-health"},
        {"edge": "/hello/mega-mind"},
    ]
    assert ours == [200, 200, 200, 400]
    assert (rest.status_code, rest.json()) == (200, [])
    assert closed == [403, 401]


@pytest.mark.promise("isolation", red="the route left out of the recipe; the local gateway's rule")
@pytest.mark.parametrize("behind_envoy", [True, False])
async def test_an_estimated_count_is_refused(
    stack: Stack, user: User, other_user: User, tmp_path: Path, behind_envoy: bool
) -> None:
    """It would say how many rows a stranger has; an exact count is of one's own rows."""
    await user.send("Mine")
    keys = {"apikey": stack.settings.keys.publishable}
    keys["authorization"] = f"Bearer {other_user.token}"
    road = self_hosted(stack, tmp_path) if behind_envoy else nullcontext(stack.settings.url)
    async with road as gateway, httpx.AsyncClient(base_url=gateway, headers=keys) as client:
        answers = {
            kind: await client.get("/rest/v1/messages", headers={"prefer": f"count={kind}"})
            for kind in ("planned", "estimated", "exact")
        }
    assert [answer.status_code for answer in answers.values()] == [400, 400, 200]
    assert answers["planned"].json()["code"] == "invalid_request"
    assert answers["exact"].json() == []


@pytest.mark.promise("forwarders", red="no rule for CORS")
async def test_a_preflight_is_the_services_to_answer(stack: Stack, tmp_path: Path) -> None:
    """CORS_ORIGINS counts, not the gateway's own rule, which lets any origin in."""
    preflight = {"origin": ORIGIN, "access-control-request-method": "POST"}
    stranger = preflight | {"origin": "https://other.example"}
    async with (
        self_hosted(stack, tmp_path, cors_origins=(ORIGIN,)) as gateway,
        httpx.AsyncClient(base_url=gateway) as client,
    ):
        allowed = await client.options("/functions/v1/mega-mind", headers=preflight)
        refused = await client.options("/functions/v1/mega-mind", headers=stranger)
        elsewhere = await client.options("/rest/v1/messages", headers=stranger)
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "idempotency-key" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in refused.headers
    assert elsewhere.headers["access-control-allow-origin"] == "https://other.example"


@pytest.mark.promise("forwarders", red="Envoy's own words and status passed on")
async def test_a_service_that_is_away_is_a_503_in_our_shape(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """Of ours alone: what is said of another function is Envoy's own."""
    (nobody,) = free_ports(1)
    async with (
        envoy_gateway(stack, tmp_path, functions=nobody, edge=nobody) as gateway,
        functions_client(gateway, authorization=f"Bearer {user.token}") as client,
    ):
        answer = await client.get("/conversations", params={"limit": 1})
        other = await client.get("/hello")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json().keys() == {"code", "message", "details", "hint"}
    assert answer.headers["retry-after"] == "2"
    assert (other.status_code, other.headers["content-type"]) == (503, "text/plain")


async def _node(stack: Stack, script: str, gateway: str) -> asyncio.subprocess.Process:
    folder = await asyncio.to_thread(install_clients)
    return await asyncio.create_subprocess_exec(
        str(NODE), str(folder / script), gateway, stack.settings.keys.publishable,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _port(url: str) -> int:
    port = httpx.URL(url).port
    assert port is not None
    return port
