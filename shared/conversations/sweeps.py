"""Ends what others began and nobody works on: a step a call, until all is or it has taken long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

import structlog

from ..errors import AppError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from ..models.turns import ExpiredTurn
    from ..persistence import Persistence

log = structlog.get_logger(__name__)

EachT = TypeVar("EachT")

SECONDS = 10.0  # a sweep ends before its caller does
INDEX_SECONDS = 20.0
PAUSE = 0.2  # what is left of a removal may be in somebody else's hands


async def sweep_turns(persistence: Persistence) -> int:
    """Settle every turn whose lease is over, and return how many that were."""
    settled = 0

    async def settle(turn: ExpiredTurn) -> bool:
        nonlocal settled
        done = await persistence.settle_expired_turn(turn.user_id, turn.conversation_id)
        settled += done.settled
        return False

    expired = (await persistence.list_expired_turns()).turns
    await _take_steps(expired, settle, seconds=SECONDS, failure="turn_not_settled")
    return settled


async def sweep_removals(persistence: Persistence) -> None:
    """Go on with deletions and erasures that somebody has begun."""

    async def remove(user_id: UUID) -> bool:
        return (await persistence.continue_removal(user_id)).more

    users = (await persistence.list_removals()).users
    await _take_steps(users, remove, seconds=SECONDS, pause=PAUSE, failure="removal_not_continued")


async def sweep_search_index(persistence: Persistence) -> None:
    """Take the search index of each user on to what was stored last."""

    async def index(user_id: UUID) -> bool:
        step = await persistence.index_messages(user_id)
        return step.more and step.indexed > 0

    users = (await persistence.list_users_to_index()).users
    await _take_steps(users, index, seconds=INDEX_SECONDS, failure="messages_not_indexed")


async def _take_steps(
    work: Sequence[EachT],
    step: Callable[[EachT], Awaitable[bool]],
    *,
    seconds: float,
    failure: str,
    pause: float = 0.0,
) -> None:
    """Take a step of each, and again of those that have more, until none has or time is over.

    So one that is long, or whose step fails, keeps no other waiting.
    """
    deadline = time.monotonic() + seconds
    while work:
        unfinished = []
        for each in work:
            if time.monotonic() > deadline:
                return
            try:
                if await step(each):
                    unfinished.append(each)
            except AppError:
                log.exception(failure, of=str(each))
        work = unfinished
        if work:
            await asyncio.sleep(pause)
