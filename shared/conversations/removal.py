"""Goes on with deletions and erasures that somebody has begun, a step a call."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ..errors import AppError

if TYPE_CHECKING:
    from uuid import UUID

    from ..persistence import Persistence

log = structlog.get_logger(__name__)

SECONDS = 10.0  # a sweep ends before its caller does
PAUSE = 0.2  # what is left may be in somebody else's hands


async def sweep_removals(persistence: Persistence) -> None:
    """Remove what is being deleted, until nothing is left or this has taken long.

    One user whose rows can't be removed keeps no other from it.
    """
    deadline = time.monotonic() + SECONDS
    users = (await persistence.list_removals()).users
    while users:
        left = []
        for user_id in users:
            if time.monotonic() > deadline:
                return
            if await _has_more(persistence, user_id):
                left.append(user_id)
        users = left
        if users:
            await asyncio.sleep(PAUSE)


async def _has_more(persistence: Persistence, user_id: UUID) -> bool:
    try:
        return (await persistence.continue_removal(user_id)).more
    except AppError:
        log.exception("removal_not_continued", user_id=str(user_id))
        return False
