"""Waiting for what tells nobody that it has happened: rows, processes, calls to a server."""

import asyncio
from collections.abc import Callable

BOUND = 60  # seconds: no measure, only an end for what would never come


async def until(is_so: Callable[[], object], *, seconds: float = BOUND) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
