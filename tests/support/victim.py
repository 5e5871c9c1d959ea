"""A user who only wants to read and to ask, and how long that takes, alone and beside others."""

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median

import httpx
import psutil

from tests.support.process import FunctionsProcess
from tests.support.users import User

PAUSE_SECONDS = 0.02
FLOOR_SECONDS = 0.1  # what is quicker than that is as good as at once, on a machine that is busy
MOST_TIMES = 3
LOADED_MESSAGES = 20
SPARED_CALLS = 2  # the attacker's first moment, and whatever else the machine has to do


@dataclass
class Figures:
    """How long each call took, and what went wrong."""

    loads: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    most_bytes: int = 0  # that the serving process held

    def __str__(self) -> str:
        parts = [
            f"{name} {median(times) * 1000:.0f} ms, worst {max(times) * 1000:.0f}, of {len(times)}"
            for name, times in (("load", self.loads), ("turn", self.turns))
        ]
        return "; ".join([*parts, f"{self.most_bytes / 1e6:.0f} MB"])


class Victim:
    """Loads a conversation and has a turn, one after the other, for as long as is watched."""

    def __init__(self, server: FunctionsProcess, user: User) -> None:
        self._user = user
        self._client = server.client(user.token)
        self._process = psutil.Process(server.process.pid)
        self._conversation = ""

    async def settle_in(self) -> None:
        """Begin a conversation, as the first of a process's requests."""
        for _ in range(LOADED_MESSAGES // 2):
            answer = await self._ask()
            assert answer.status_code == 200, answer.text
            self._conversation = answer.json()["conversationId"]

    async def aclose(self) -> None:
        """Go."""
        await self._client.aclose()

    async def go_on(self, rounds: int) -> Figures:
        """Load and ask so many times."""
        figures = Figures()
        for _ in range(rounds):
            for times, call in ((figures.loads, self._load), (figures.turns, self._ask)):
                began = time.monotonic()
                try:
                    answer = await call()
                    if answer.status_code != 200:
                        figures.failures.append(f"{answer.status_code}: {answer.text[:200]}")
                except httpx.HTTPError as exc:
                    figures.failures.append(type(exc).__name__)
                times.append(time.monotonic() - began)
            figures.most_bytes = max(figures.most_bytes, self._process.memory_info().rss)
            await asyncio.sleep(PAUSE_SECONDS)
        return figures

    async def _load(self) -> httpx.Response:
        query = f"conversationId={self._conversation}&limit={LOADED_MESSAGES}"
        return await self._client.get(f"/load-conversation?{query}")

    async def _ask(self) -> httpx.Response:
        body = {"request": "Hello"} | (
            {"conversationId": self._conversation} if self._conversation else {}
        )
        return await self._client.post("/mega-mind", json=body)


def what_was_noticed(alone: Figures, beside: Figures) -> list[str]:
    """Return what failed beside the attacker, and which median is over three times what it was."""
    slower = [
        f"{name}: {median(during):.2f} s after {median(before):.2f} s"
        for name, before, during in (
            ("loads", alone.loads, beside.loads),
            ("turns", alone.turns, beside.turns),
        )
        if median(during) > MOST_TIMES * max(median(before), FLOOR_SECONDS)
    ]
    return beside.failures + slower


def slowest_was_noticed(alone: Figures, beside: Figures) -> list[str]:
    """Return how slow more than two calls were beyond a second, and beyond the slowest before."""
    *_, slowest = sorted(beside.loads + beside.turns)[:-SPARED_CALLS]
    most = max(1, MOST_TIMES * max(alone.loads + alone.turns))
    return [f"slowest but two: {slowest:.2f} s"] if slowest > most else []
