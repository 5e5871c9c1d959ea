"""Writers that are none of the service's, as programs that are killed and started again.

A turn of theirs is a call of tests.support.fault_history, and judged as every other.
"""

import asyncio
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from local.settings import ROOT
from local.stack import Stack
from tests.support.fault_history import Call, Outcome

CALL: dict[str, Any] = {
    "type": "tool-search", "toolCallId": "1", "state": "input-available", "input": {"q": "é"},
}  # fmt: skip
FOUND = {**CALL, "state": "output-available", "output": [1]}
PIECES: list[Any] = [CALL, "Found ", FOUND, "something 🎉", "."]
WHOLE = [FOUND, {"type": "text", "text": "Found something 🎉."}]
POINTS = ["before_begin", "after_begin", "mid_stream", "mid_model", "after_model", "after_complete"]


@dataclass
class LibraryProgram:
    """`tests.support.library_writer`, started after each death, to die where its life says."""

    stack: Stack
    settings: dict[str, str]
    lives: Iterator[str | None]
    deaths: Counter[str] = field(default_factory=Counter)
    _process: asyncio.subprocess.Process | None = None
    _point: str | None = None

    async def do(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """Have a job done; return its answer, or None if the program died under it."""
        process = await self._living()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except ConnectionError:
            line = b""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        await process.wait()
        self.deaths[self._point or "killed"] += 1
        return None

    def kill(self) -> None:
        """Kill it, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """End it."""
        self.kill()
        if self._process is not None:
            await self._process.wait()

    async def _living(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._point = next(self.lives)
            environment = self.stack.settings.environment()
            known = {name: environment[name] for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY")}
            point = {"CRASH_POINT": self._point} if self._point else {}
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.support.library_writer"),
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **known, **self.settings, **point},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=2**24,
            )
        return self._process


def lives_from(number: int) -> Iterator[str | None]:
    """Yield where lives end: at the points in turn, each followed by a life that is only killed."""
    points = itertools.islice(itertools.cycle(POINTS), 2 * number, None)
    return (end for point in points for end in (point, None))


async def by_library(call: Call, program: LibraryProgram) -> Outcome:
    """Have a program write the call's turn once; note and return what came of it."""
    place = {} if call.conversation_id is None else {"conversation_id": call.conversation_id}
    job = {"user_id": call.user_id, "key": call.key, "request": call.request, "pieces": PIECES}
    answer = await program.do({**job, **place, "pause": 0.02})
    if answer is None or "rows" not in answer:
        outcome = Outcome("unknown", None if answer is None else answer["status"])
    else:
        outcome = Outcome("ok", 200, tuple(answer["rows"]), is_replay=answer["replayed"])
    return _noted(call, outcome)


async def over_http(call: Call, http: httpx.AsyncClient, *, is_left: bool = False) -> Outcome:
    """Write the call's turn with the service key, step by step; the last one is left out."""
    try:
        outcome = await _steps(call, http, is_left=is_left)
    except httpx.TransportError:
        outcome = Outcome("unknown")
    return _noted(call, outcome)


def _noted(call: Call, outcome: Outcome) -> Outcome:
    """Note an outcome; a reply that is there is all that was given, once."""
    call.outcomes.append(outcome)
    for reply in outcome.rows[1:]:
        assert not reply["metadata"]["success"] or reply["parts"] == WHOLE, reply
    return outcome


async def _steps(call: Call, http: httpx.AsyncClient, *, is_left: bool) -> Outcome:
    asked = {"request": call.request, "conversationId": call.conversation_id}
    answer = await http.post(
        "/turns",
        json={"userId": call.user_id, **{k: v for k, v in asked.items() if v is not None}},
        headers={"idempotency-key": call.key},
    )
    begun = answer.json()
    if answer.status_code != 200:
        return Outcome("unknown", answer.status_code)
    if begun["replayed"]:
        return Outcome("ok", 200, (begun["userMessage"], begun["message"]), is_replay=True)
    writer = {"userId": call.user_id, "attempt": begun["attempt"]}
    place = {"offset": 0, "version": 0}
    for piece in PIECES:
        sent = {"text": piece} if isinstance(piece, str) else {"parts": [piece]}
        answer = await _step(http, f"/turns/{begun['turnId']}/write", {**writer, **place, **sent})
        if answer.status_code != 200:
            return Outcome("unknown", answer.status_code)
        place = {name: answer.json()[name] for name in place}
    if is_left:
        return Outcome("unknown")
    answer = await _step(http, f"/turns/{begun['turnId']}/complete", writer)
    if answer.status_code != 200:
        return Outcome("unknown", answer.status_code)
    ended = answer.json()
    return Outcome("ok", 200, (ended["userMessage"], ended["message"]))


async def _step(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    """Take one step, and once more after an answer that was lost: it counts once."""
    try:
        return await http.post(path, json=body)
    except httpx.TransportError:
        await asyncio.sleep(0.1)
        return await http.post(path, json=body)


@dataclass
class SessionAdds:
    """Batches of items that a program adds to a session: those that it said are stored."""

    framework: str
    user_id: str
    given: int = 0
    stored: list[int] = field(default_factory=list)
    conversation_id: str = ""

    async def add(self, program: LibraryProgram) -> None:
        """Add the next batch; what dies under it is in doubt, and stays so."""
        number = self.given
        self.given += 1
        answer = await program.do(
            {
                "framework": self.framework, "user_id": self.user_id,
                "session_id": "a session", "texts": texts_of(number),
            }
        )  # fmt: skip
        if answer is not None:
            self.stored.append(number)
            self.conversation_id = answer["conversation_id"]

    def problems(self, db: psycopg.Connection) -> list[str]:
        """Return what is wrong with what is stored: batches are whole, in order, and there once."""
        rows = db.execute(
            "select seq, content from messages where user_id = %s and conversation_id = %s"
            " order by seq",
            (self.user_id, self.conversation_id),
        ).fetchall()
        texts = [text for _, text in rows]
        numbers = [int(text.split(".")[0]) for text in texts[::3]]
        whole = [text for number in numbers for text in texts_of(number)]
        found = {
            "a gap": [seq for seq, _ in rows] != list(range(1, len(rows) + 1)),
            "a batch in pieces": texts != whole,
            "out of order": numbers != sorted(set(numbers)),
            "lost": not set(self.stored) <= set(numbers),
            "a phantom": not set(numbers) <= set(range(self.given)),
        }
        return [f"{self.framework}: {name}" for name, is_so in found.items() if is_so]


def texts_of(number: int) -> list[str]:
    """Return the texts of a batch."""
    return [f"{number}.{place}" for place in range(3)]
