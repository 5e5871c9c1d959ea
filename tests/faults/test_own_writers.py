"""Writers of turns that are none of the service's are killed, and their keys sent again.

A program with the library dies at each named point; over HTTP the service dies under a program that
comes back with its key.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from shared import MessagePersistence
from tests.faults.test_crash_points import POINTS, QUICK, ending_of
from tests.support.library_writer import PIECES, REQUEST, write_turn
from tests.support.process import functions_process
from tests.support.users import User, functions_client

WHOLE = "".join(PIECES)


async def run_writer(stack: Stack, user: User, *, pause: float, **settings: str) -> int | None:
    """Run the program under one key; return its exit code."""
    environment = stack.settings.environment()
    known = {name: environment[name] for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.library_writer"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **known, **QUICK, "LOG_LEVEL": "error", **settings},
        stdin=asyncio.subprocess.PIPE,
    )
    job = json.dumps({"user_id": user.id, "key": "k", "pause": pause}).encode()
    await asyncio.wait_for(process.communicate(job), timeout=60)
    return process.returncode


@pytest.mark.promise("safe retry")
@pytest.mark.parametrize("point", POINTS)
async def test_a_program_that_died_at_this_point_ends_its_turn_under_the_same_key(
    stack: Stack, user: User, db: psycopg.Connection, point: str
) -> None:
    """Killed with -9, begun again: one message, one reply, as if nothing had been."""
    pause = 0.1 if point == "mid_model" else 0
    code = await run_writer(stack, user, pause=pause, CRASH_POINT=point)
    async with MessagePersistence(stack.settings.url, stack.settings.keys.secret) as chat:
        again = await write_turn(chat, {"user_id": user.id, "key": "k"})
    assert code == -signal.SIGKILL
    assert again["content"] == WHOLE
    assert ending_of(db, user) == [
        ("user", REQUEST, "completed", 1),
        ("assistant", WHOLE, "completed", 2),
    ]


class Program:
    """Writes turns over HTTP, each step against whichever service is there."""

    def __init__(self, stack: Stack, user: User, url: str) -> None:
        self.user = user
        self.http = functions_client(
            url, apikey=stack.settings.environment()["SUPABASE_SECRET_KEY"]
        )

    async def post(self, path: str, **body: Any) -> httpx.Response:
        headers = {"idempotency-key": "k"}
        body = {"userId": self.user.id, **body}
        return await self.http.post(f"/turns{path}", json=body, headers=headers)

    async def begin(self) -> dict[str, Any]:
        """Begin, as often as it takes for a lease that nobody holds to end."""
        async with asyncio.timeout(30):
            while (answer := await self.post("", request=REQUEST)).status_code == 409:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        begun: dict[str, Any] = answer.json()
        return begun

    async def write_all(self) -> dict[str, Any]:
        """Write the turn from wherever it stands; return the reply."""
        turn = await self.begin()
        if not turn["replayed"]:
            offset = 0
            place = {"attempt": turn["attempt"]}
            for piece in PIECES:
                step = f"/{turn['turnId']}/write"
                written = await self.post(step, **place, offset=offset, text=piece)
                offset = written.json()["offset"]
            turn = (await self.post(f"/{turn['turnId']}/complete", **place)).json()
        reply: dict[str, Any] = turn["message"]
        return reply


@pytest.mark.promise("safe retry")
@pytest.mark.parametrize("point", [point for point in POINTS if point != "mid_model"])
async def test_a_service_that_died_under_a_program_loses_and_doubles_nothing(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path, point: str
) -> None:
    """At each point of a step: the program comes back with its key, and ends its turn."""
    async with functions_process(stack, tmp_path, **QUICK, CRASH_POINT=point) as doomed:
        program = Program(stack, user, doomed.url)
        with pytest.raises(httpx.TransportError):
            await program.write_all()
        await asyncio.wait_for(doomed.process.wait(), timeout=20)
    program = Program(stack, user, stack.settings.url)
    reply = await program.write_all()
    again = await program.write_all()
    assert reply == again
    assert ending_of(db, user) == [
        ("user", REQUEST, "completed", 1),
        ("assistant", WHOLE, "completed", 2),
    ]
