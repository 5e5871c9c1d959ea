"""The examples in Python, each as somebody would run it: on the wheel, against a project."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from tests.support.fault_turns import turns_of
from tests.support.sse import read_events
from tests.support.stack import free_ports
from tests.support.users import sign_up
from tests.support.wheel import build_wheel

EXAMPLE = ROOT / "examples" / "fastapi-pydantic-ai"
TEST_MODEL = "success (no tool calls)"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The library, as it is installed."""
    return build_wheel(tmp_path)


@pytest.fixture
async def example(stack: Stack, wheel: Path) -> AsyncIterator[str]:
    """The address of the FastAPI example, with pydantic-ai's own test model."""
    (port,) = free_ports(1)
    environment = stack.settings.environment()
    names = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)),
        cwd=EXAMPLE,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(wheel),
            "CHAT_MODEL": "test",
            **{name: environment[name] for name in names},
        },
    )
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient() as http, asyncio.timeout(60):
        while process.returncode is None:
            try:
                await http.get(f"{url}/docs")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    yield url
    process.terminate()
    await process.wait()


async def test_the_fastapi_example_answers_and_stores(
    example: str, stack: Stack, db: psycopg.Connection
) -> None:
    """A stream of a turn, its replay under one key, another turn, and a stranger's 401."""
    user = await sign_up(stack)
    await user.functions.aclose()
    headers = {"authorization": f"Bearer {user.token}", "idempotency-key": "k"}
    async with httpx.AsyncClient(base_url=example, headers=headers, timeout=60) as http:
        first = await ask(http, text="Hello")
        again = await ask(http, text="Hello")
        place = {"text": "More", "conversation_id": first["conversationId"]}
        http.headers["idempotency-key"] = "l"
        await ask(http, **place)
        loaded = (await http.get(f"/chat/{first['conversationId']}")).json()
        missing = await http.get(f"/chat/{user.id}")
        http.headers["authorization"] = "Bearer nobody"
        refused = await http.post("/chat", json={"text": "Hello"})
    assert (first["replayed"], again["replayed"]) == (False, True)
    said = [message["content"] for message in loaded]
    assert said == ["Hello", TEST_MODEL, "More", TEST_MODEL]
    assert turns_of(db, user) == [("completed", 1, ["user", "assistant"])] * 2
    assert (missing.status_code, refused.status_code) == (404, 401)


async def ask(http: httpx.AsyncClient, **question: str) -> dict[str, Any]:
    """Read a turn to its end; return what its last event says."""
    last: dict[str, Any] = {}
    async with http.stream("POST", "/chat", json=question) as answer:
        assert answer.status_code == 200
        async for event in read_events(answer):
            last = event.data
    return last
