"""Whether something lets the event loop go on with the rest meanwhile."""

import asyncio
from collections.abc import Awaitable


async def turns_of_others(work: Awaitable[object]) -> int:
    """Do the work; return how often the event loop came to others meanwhile.

    A count, for on a busy machine any stretch of time may be long. Work in the loop itself leaves
    it a turn or two; a thread gives way after each few milliseconds of its own.
    """
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await work
    counting.cancel()
    return turns
