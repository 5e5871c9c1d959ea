"""A greedy user's client, in a process of its own: asks for one thing again and again, at once.

    python -m tests.support.greedy '{"url": ..., "at_once": 80, "asks": [{"method": "GET", ...}]}'

Says when all that it asks at once has been sent, goes on until its input ends and something was
answered, then prints how often each status was.
"""

import asyncio
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from local.settings import ROOT

BEGUN = b"begun\n"
NICE = 5  # a stranger's computer takes little from ours


@dataclass
class Ask:
    """One request. Its body is a JSON value, or a piece so many times with something around it."""

    method: str
    path: str
    body: Any = None
    before: str = ""
    piece: str = ""
    times: int = 0
    after: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes | None:
        """Return what is sent."""
        if self.piece:
            return (self.before + self.piece * self.times + self.after).encode()
        return None if self.body is None else json.dumps(self.body).encode()


@dataclass
class Greed:
    """Who asks, for what, and how often at a time."""

    url: str
    asks: list[Ask]
    at_once: int
    headers: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def greedy(greed: Greed) -> AsyncIterator[Counter[str]]:
    """Run such a client beside the block, from when all that it asks at once has been sent.

    What it was answered is known after the block.
    """
    answered: Counter[str] = Counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.greedy", json.dumps(asdict(greed)),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == BEGUN
        yield answered
        output, _ = await process.communicate(b"")
        answered.update(json.loads(output))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Progress:
    """How far a greedy client is."""

    sent: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    was_answered: asyncio.Event = field(default_factory=asyncio.Event)
    answered: Counter[str] = field(default_factory=Counter)

    async def trace(self, event: str, _: dict[str, Any]) -> None:
        """Note what httpx says that it has done."""
        if event == "http11.send_request_headers.complete":
            self.sent.release()

    def count(self, answer: str) -> None:
        """Count an answer."""
        self.answered[answer] += 1
        self.was_answered.set()


async def _ask_all(greed: Greed) -> Counter[str]:
    """Ask until the standard input ends."""
    progress = Progress()
    coming = itertools.cycle([(ask, ask.content()) for ask in greed.asks])
    headers = {"content-type": "application/json", **greed.headers}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=greed.url, headers=headers, limits=limits, timeout=60
    ) as client:
        asking = [
            asyncio.create_task(_ask_on(client, coming, progress)) for _ in range(greed.at_once)
        ]
        for _ in asking:
            await progress.sent.acquire()
        print(BEGUN.decode(), end="", flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)
        await progress.was_answered.wait()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return progress.answered


async def _ask_on(
    client: httpx.AsyncClient, coming: Iterator[tuple[Ask, bytes | None]], progress: Progress
) -> None:
    while True:
        ask, content = next(coming)
        try:
            async with client.stream(
                ask.method,
                ask.path,
                content=content,
                headers=ask.headers,
                extensions={"trace": progress.trace},
            ) as response:
                progress.count(str(response.status_code))
                async for _ in response.aiter_raw():
                    pass
        except httpx.HTTPError as exc:
            progress.count(type(exc).__name__)
            progress.sent.release()
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    os.nice(NICE)
    wanted = json.loads(sys.argv[1])
    wanted["asks"] = [Ask(**ask) for ask in wanted["asks"]]
    print(json.dumps(asyncio.run(_ask_all(Greed(**wanted)))))  # noqa: T201 - its result
