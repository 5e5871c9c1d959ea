"""The bundle as it is shipped: `python -m functions` in a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local.settings import ROOT
from local.stack import Stack
from tests.support.stack import free_ports
from tests.support.users import User, functions_client

POLL_SECONDS = 0.05
START_SECONDS = 60
WRONG_CLOCK = Path(__file__).parent / "wrong_clock"  # a sitecustomize, for the path of Python


@dataclass
class FunctionsProcess:
    """A running bundle, and the file that its output goes to."""

    url: str
    log: Path
    process: asyncio.subprocess.Process

    def client(self, token: str) -> httpx.AsyncClient:
        """Return a client that carries this token."""
        return functions_client(self.url, authorization=f"Bearer {token}")

    def lines(self) -> list[dict[str, Any]]:
        """Return what was logged; every line has to be a JSON object."""
        parsed = [json.loads(line) for line in self.log.read_text().splitlines()]
        assert all(isinstance(line, dict) for line in parsed)
        return parsed


@asynccontextmanager
async def functions_process(
    stack: Stack, folder: Path, *, endpoint: str | None = None, **settings: str
) -> AsyncIterator[FunctionsProcess]:
    """Run the bundle, or one endpoint, on a stack with these settings and nothing else set.

    On a free port, unless PORT is among them: where it takes the place of one that was killed.
    With CLOCK_OFF its clock is wrong by so many seconds.
    """
    port = int(settings.get("PORT") or free_ports(1)[0])
    log = folder / "functions.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(
            [*([str(WRONG_CLOCK)] if "CLOCK_OFF" in settings else []), str(ROOT)]
        ),
        "PYTHONUNBUFFERED": "1",
        **stack.settings.environment(),
        **settings,
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "functions", *filter(None, [endpoint]), "--port", str(port),
            stdout=output, stderr=output, env=environment, cwd=folder,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        await until_answering(f"{url}/health", process, log)
        yield FunctionsProcess(url, log, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def begin_and_leave(
    process: FunctionsProcess, user: User, request: str = "Go", *, key: str | None = None
) -> str:
    """Begin a turn as a stream, hang up once it is accepted, and return its id."""
    events = {"accept": "text/event-stream"} | ({"idempotency-key": key} if key else {})
    async with (
        process.client(user.token) as client,
        client.stream("POST", "/mega-mind", json={"request": request}, headers=events) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                return str(json.loads(line[5:])["turnId"])
    raise AssertionError("no event")


async def until_answering(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until a process that was just started listens and answers, whatever it says."""
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as http:
        while True:
            assert process.returncode is None, log.read_text()  # noqa: ASYNC240
            try:
                await http.get(url)
            except httpx.TransportError:
                await asyncio.sleep(POLL_SECONDS)  # not listening yet
            else:
                return
