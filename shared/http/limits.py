"""Gives the database the limit that holds over the Data API too, when a process starts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import stamina
import structlog

from ..errors import AppError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..config import Settings
    from ..persistence import Persistence

log = structlog.get_logger(__name__)


@asynccontextmanager
async def limits_in_force(persistence: Persistence, settings: Settings) -> AsyncIterator[None]:
    """Set the limit, if there is one, before anything is served.

    A store that is away delays the start no longer than a call may take; it is asked on meanwhile.
    """
    if settings.bytes_per_day is None:
        yield
        return
    setting = asyncio.create_task(_set_limits(persistence, settings.bytes_per_day))
    await asyncio.wait({setting}, timeout=settings.store_timeout)
    try:
        yield
    finally:
        setting.cancel()
        await asyncio.wait({setting})


async def _set_limits(persistence: Persistence, bytes_per_day: int) -> None:
    try:
        async for attempt in stamina.retry_context(
            on=UnavailableError, attempts=None, timeout=None, wait_initial=0.5, wait_max=30
        ):
            with attempt:
                await persistence.set_limits(bytes_per_day=bytes_per_day)
    except AppError as exc:
        log.error("limits_not_set", error=exc.code)  # noqa: TRY400 - its code says it
    else:
        log.info("limits_set", bytes_per_day=bytes_per_day)
