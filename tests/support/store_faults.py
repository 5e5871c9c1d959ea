"""What a store in memory may do instead of answering: each fault makes the call or not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from shared.errors import StoreUnavailableError

Call: TypeAlias = Callable[[], Awaitable[Any]]
Fault: TypeAlias = Callable[[Call], Awaitable[Any]]


async def works(call: Call) -> Any:
    """Do what is asked, after the moment that a network takes."""
    await asyncio.sleep(0.001)
    return await call()


async def away(_: Call) -> Any:
    """Say at once that the store isn't there."""
    raise StoreUnavailableError


async def hung(_: Call) -> Any:
    """Do nothing until the deadline of a call."""
    await asyncio.sleep(8)
    raise StoreUnavailableError


async def answer_lost(call: Call) -> Any:
    """Commit what is asked, and lose the answer."""
    await call()
    raise StoreUnavailableError


def once(fault: Fault) -> Fault:
    """Do this for one call alone."""
    faults = iter([fault])
    return lambda call: next(faults, works)(call)


class Held:
    """Commit what is asked, and answer when released."""

    def __init__(self) -> None:
        self.committed = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, call: Call) -> Any:
        """Commit, then wait."""
        answer = await call()
        self.committed.set()
        await self.release.wait()
        return answer
