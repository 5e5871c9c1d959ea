"""Many streams open at once on one process: every event comes, every reply is stored.

FAULT_STREAMS says how many.
"""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from math import ceil
from pathlib import Path

import psutil
import psycopg
import pytest

from local.stack import Stack
from shared.shares import TURNS_EACH
from tests.support.crowd import Crowd, crowd_client, replies_of
from tests.support.process import functions_process
from tests.support.sse import text_of
from tests.support.users import make_user

STREAMS = int(os.environ.get("FAULT_STREAMS", "100"))
WORD_SECONDS = max(0.1, STREAMS / 1000)  # so that all are open before the first one ends
MOST_BYTES = 1_000_000  # of the process, for each open stream
PATIENT = {
    "STORE_TIMEOUT": "60",
    "LEASE_SECONDS": "130",
}


class Memory:
    """The most that a process held while it was looked at."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.before = self.most = self.now()

    def now(self) -> int:
        """Return what it holds, in bytes."""
        return int(self._process.memory_info().rss)

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.most = max(self.most, self.now())
            await asyncio.sleep(0.1)


@pytest.mark.promise("streams", red="a heartbeat and a request to Realtime for each turn")
async def test_hundreds_of_streams_at_once_are_all_whole(
    stack: Stack, db: psycopg.Connection, tmp_path: Path
) -> None:
    """`accepted` first, text without a gap, `done` last, and the stored reply says the same."""
    async with (
        functions_process(stack, tmp_path, OFFLINE_DELAY=str(WORD_SECONDS), **PATIENT) as server,
        AsyncExitStack() as on,
    ):
        users = [await make_user(stack) for _ in range(ceil(STREAMS / TURNS_EACH))]
        clients = [await on.enter_async_context(crowd_client(server.url, user)) for user in users]
        await clients[0].get("/conversations")
        memory, crowd = Memory(server.process.pid), Crowd(clients)
        watching = asyncio.create_task(memory.watch())
        started = time.monotonic()
        streams = await asyncio.gather(*(crowd.stream(number) for number in range(STREAMS)))
        seconds = time.monotonic() - started
        watching.cancel()
        after = memory.now()
    each = (memory.most - memory.before) / STREAMS
    print(  # noqa: T201 - for `pytest -s`
        f"\n{STREAMS} streams: {crowd.most_open} open at once, {crowd.refused} times busy,"
        f" {seconds:.1f} s,"
        f" {each / 1000:.0f} kB each at the peak; the process held {memory.before / 1e6:.0f} MB"
        f" before, {memory.most / 1e6:.0f} MB at the peak, {after / 1e6:.0f} MB after"
    )
    stored = {turn: replies for user in users for turn, replies in replies_of(db, user).items()}
    assert crowd.most_open > STREAMS / 2
    assert len(stored) == STREAMS
    for events in streams:
        assert events[0].name == "accepted"
        assert [event.name for event in events].count("accepted") == 1
        assert events[-1].name == "done"
        assert stored[events[0].data["turnId"]] == [text_of(events)]
    assert each < MOST_BYTES
