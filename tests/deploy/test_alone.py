"""Each endpoint by itself: it starts in a fresh process with only the parts that it needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from functions.app import ENDPOINTS
from local.settings import ROOT
from local.stack import Stack
from tests.support.image import build_image
from tests.support.process import functions_process
from tests.support.users import User

# What costs a start much, by who may import it at once. A model is imported when one is configured.
AI = ("shared.ai", "shared.turns.runner", "shared.turns.worker")
USERS_OF_AI = {"mega-mind", "turns"}
NEVER = (
    *("anthropic", "google.genai", "openai", "pydantic_ai", "typst"),
    *("opentelemetry.exporter", "opentelemetry.sdk", "requests"),
)

# Each in a process of its own, which has read what all of them are made by and nothing else yet.
SCRIPT = """
import json, os, sys
import functions.app
for endpoint in sys.argv[1:]:
    if os.fork() == 0:
        app = getattr(functions.app, endpoint.replace("-", "_"))
        paths = sorted(app.openapi()["paths"])
        print(json.dumps([endpoint, sorted(sys.modules), paths]))
        sys.exit()
    assert os.wait()[1] == 0, endpoint
"""


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[list[str], list[str]]]:
    """What each endpoint imports, and the addresses that it serves."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *ENDPOINTS],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {endpoint: (modules, paths) for endpoint, modules, paths in rows}


@pytest.mark.promise("deployment", red="`container.py` imports `shared.turns.runner` at once")
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_alone_imports_only_what_it_needs(
    alone: dict[str, tuple[list[str], list[str]]], endpoint: str
) -> None:
    """And serves its own address and no other's, but for health."""
    modules, paths = alone[endpoint]
    forbidden = NEVER if endpoint in USERS_OF_AI else (*NEVER, *AI)
    assert [m for m in modules if m.startswith(tuple(f"{name}." for name in forbidden))] == []
    assert set(forbidden).isdisjoint(modules)
    mine = f"functions.{endpoint.replace('-', '_')}"
    assert {m for m in modules if m.startswith("functions.")} == {
        "functions.app", "functions.health", mine,
    }  # fmt: skip
    addresses = {path.removeprefix("/functions/v1").split("/")[1] for path in paths}
    assert addresses == {endpoint, "health"}


async def test_load_conversation_alone_serves_what_the_bundle_stored(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """From the image's files and its locked packages, in a process of its own."""
    sent = (await user.send("Hello")).json()
    (tmp_path / "app").mkdir()
    image = build_image(tmp_path / "app")
    async with (
        functions_process(
            stack, tmp_path, endpoint="load-conversation", PYTHONPATH=str(image)
        ) as process,
        process.client(user.token) as client,
    ):
        query = {"conversationId": sent["conversationId"]}
        loaded = await client.get("/load-conversation", params=query)
        elsewhere = await client.post("/mega-mind", json={"request": "Hello"})
    assert loaded.json()["messages"] == [sent["userMessage"], sent["message"]]
    assert elsewhere.status_code == 404
