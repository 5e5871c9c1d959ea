"""Settles turns whose worker is gone, one a call, until all are or the request has taken long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ..errors import AppError

if TYPE_CHECKING:
    from ..persistence import Persistence

log = structlog.get_logger(__name__)

SECONDS = 10.0  # a sweep ends before its caller does


async def sweep_turns(persistence: Persistence) -> int:
    """Settle every turn whose lease is over, and return how many that were.

    One that can't be settled keeps no other from being settled.
    """
    deadline = time.monotonic() + SECONDS
    settled = 0
    for turn in (await persistence.list_expired_turns()).turns:
        if time.monotonic() > deadline:
            break
        try:
            done = await persistence.settle_expired_turn(turn.user_id, turn.conversation_id)
        except AppError:
            log.exception("turn_not_settled", conversation_id=str(turn.conversation_id))
        else:
            settled += done.settled
    return settled
