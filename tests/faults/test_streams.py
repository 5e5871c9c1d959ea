"""Many streams open at once on one process: every event comes, every reply is stored.

FAULT_STREAMS says how many.
"""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import psycopg

from local.stack import Stack
from tests.support.crowd import STOPPED, Crowd, crowd_client, key_of, replies_of
from tests.support.process import functions_process
from tests.support.sse import text_of
from tests.support.users import User

STREAMS = int(os.environ.get("FAULT_STREAMS", "100"))
WORD_SECONDS = max(0.1, STREAMS / 1000)  # so that all are open before the first one ends
MOST_BYTES = 1_000_000  # of the process, for each open stream
PATIENT = {
    "STORE_TIMEOUT": "60",
    "LEASE_SECONDS": "130",
}  # a busy machine's store is slow, not away
QUICK = {
    "HEARTBEAT_SECONDS": "0.1",
    "STORE_TIMEOUT": "1",
    "LEASE_SECONDS": "3",
    "RETRY_WAIT_SECONDS": "10",
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


async def test_hundreds_of_streams_at_once_are_all_whole(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """`accepted` first, text without a gap, `done` last, and the stored reply says the same."""
    async with (
        functions_process(stack, tmp_path, OFFLINE_DELAY=str(WORD_SECONDS), **PATIENT) as server,
        crowd_client(server.url, user) as client,
    ):
        await client.get("/conversations")
        memory, crowd = Memory(server.process.pid), Crowd(client)
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
    stored = replies_of(db, user)
    assert crowd.most_open > STREAMS / 2
    assert len(stored) == STREAMS
    for events in streams:
        assert events[0].name == "accepted"
        assert [event.name for event in events].count("accepted") == 1
        assert events[-1].name == "done"
        assert stored[events[0].data["turnId"]] == [text_of(events)]
    assert each < MOST_BYTES


async def test_streams_of_a_process_that_is_told_to_stop_end_well(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """SIGTERM with streams open: each ends with `done`, or its key ends it afterwards."""
    async with (
        functions_process(stack, tmp_path, OFFLINE_DELAY="0.1", **QUICK) as server,
        crowd_client(server.url, user) as client,
    ):
        crowd = Crowd(client)
        reading = [asyncio.create_task(crowd.stream(number)) for number in range(STOPPED)]
        while crowd.open_now < STOPPED:
            assert not any(task.done() for task in reading)
            await asyncio.sleep(0.01)
        still_open = crowd.open_now
        server.process.terminate()
        with suppress(httpx.TransportError):
            await asyncio.gather(*reading)
        await asyncio.gather(*reading, return_exceptions=True)
        await asyncio.wait_for(server.process.wait(), timeout=40)
    async with (
        functions_process(stack, tmp_path, **QUICK) as server,
        crowd_client(server.url, user) as client,
    ):
        for number in range(STOPPED):
            body, headers = {"request": f"Stream {number}"}, {"idempotency-key": key_of(number)}
            answer = await client.post("/mega-mind", json=body, headers=headers)
            assert (answer.status_code, answer.json()["success"]) == (200, True)
    ended = [events for events in crowd.streams if events and events[-1].name == "done"]
    print(f"\nSIGTERM: {len(ended)} of {STOPPED} streams ended with done")  # noqa: T201
    stored = replies_of(db, user)
    assert still_open == STOPPED
    assert len(stored) == STOPPED
    assert all(len(replies) == 1 for replies in stored.values())
    assert all(stored[events[0].data["turnId"]] == [text_of(events)] for events in ended)
