"""Repeats what failed because the store was away, by stamina's pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import stamina

from ..errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ResultT = TypeVar("ResultT")


async def while_away(
    call: Callable[[], Awaitable[ResultT]], *, attempts: int | None, most_seconds: float
) -> ResultT:
    """Return what a call returns; make it so often (None: always) while the store is away.

    Pauses grow, with jitter, up to `most_seconds`. The usual call is spared all of that.
    """
    try:
        return await call()
    except StoreUnavailableError as exc:
        if attempts == 1:
            raise
        failure: StoreUnavailableError | None = exc
    async for attempt in stamina.retry_context(
        on=StoreUnavailableError,
        attempts=attempts,
        timeout=None,
        wait_initial=0.1,
        wait_max=most_seconds,
    ):
        with attempt:
            if failure is not None:  # the first attempt was made above
                first, failure = failure, None
                raise first
            return await call()
    raise AssertionError  # the last attempt returns or raises
