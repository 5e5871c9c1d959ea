"""Takes the search index on for one search, to what its user has stored last."""

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

SEARCH_SECONDS = 2.0  # what one search may spend on the index of its user
PAUSE = 0.1


async def index_for_search(persistence: Persistence, user_id: UUID) -> None:
    """Index what a user has stored: all of it, or what the time of one search is enough for.

    Where another process is at it, its step is waited for. What can't be indexed now is left.
    """
    deadline = time.monotonic() + SEARCH_SECONDS
    try:
        while (step := await persistence.index_messages(user_id)).more:
            if time.monotonic() > deadline:
                return
            if step.indexed == 0:
                await asyncio.sleep(PAUSE)
    except AppError:
        log.exception("messages_not_indexed", user_id=str(user_id))
