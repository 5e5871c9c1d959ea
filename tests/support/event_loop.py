"""How long the event loop stands still while something is done."""

import asyncio
import time
from collections.abc import Awaitable


async def share_blocked(work: Awaitable[object]) -> float:
    """Do the work; return the longest time that nothing else ran, as a share of all it took."""
    slowest = 0.0

    async def measure() -> None:
        nonlocal slowest
        while True:
            started = time.monotonic()
            await asyncio.sleep(0)
            slowest = max(slowest, time.monotonic() - started)

    measuring = asyncio.create_task(measure())
    await asyncio.sleep(0)
    started = time.monotonic()
    await work
    took = time.monotonic() - started
    await asyncio.sleep(0)
    measuring.cancel()
    return slowest / took
