"""Applies the retention policies a user at a time, until it is done or has taken long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from shared.errors import AppError
from shared.models.retention import ApplyRetentionResponse, RemovedRows

if TYPE_CHECKING:
    from uuid import UUID

    from shared.models.retention import ApplyRetentionRequest
    from shared.persistence import Persistence

log = structlog.get_logger(__name__)

SECONDS = 20.0  # gateways wait little longer for an answer
MOST_USERS = 100  # in one listing


async def apply_retention(
    persistence: Persistence, request: ApplyRetentionRequest
) -> ApplyRetentionResponse:
    """Archive and delete what the policies say, or count it; `more` where another call goes on.

    Of all who are due, one who can't be served keeps no other waiting.
    """
    deadline = time.monotonic() + SECONDS
    users = await _users_due(persistence, request)
    done = _Sum(dry_run=request.dry_run)
    for user_id in users:
        room = request.most - done.conversations
        if room <= 0 or time.monotonic() > deadline:
            return done.response(more=True)
        try:
            step = await persistence.apply_retention(
                user_id, dry_run=request.dry_run, most=room, project_id=request.project_id
            )
        except AppError:
            if request.user_id is not None:
                raise
            log.exception("retention_not_applied", user_id=str(user_id))
        else:
            done.add(step)
    return done.response(more=done.has_more or len(users) >= MOST_USERS)


async def _users_due(persistence: Persistence, request: ApplyRetentionRequest) -> list[UUID]:
    if request.user_id is not None:
        return [request.user_id]
    due = await persistence.list_users_due_for_retention(
        project_id=request.project_id, most=MOST_USERS
    )
    return due.users


class _Sum:
    """What the steps of one request came to."""

    def __init__(self, *, dry_run: bool) -> None:
        self.has_more = False
        self._dry_run = dry_run
        self._archived = self._skipped = 0
        self._deleted = RemovedRows(conversations=0, messages=0, turns=0)

    @property
    def conversations(self) -> int:
        """How many were looked at so far."""
        return self._archived + self._skipped + self._deleted.conversations

    def add(self, step: ApplyRetentionResponse) -> None:
        """Count a user's step."""
        self.has_more = self.has_more or step.more
        self._archived += step.archived
        self._skipped += step.skipped
        self._deleted = RemovedRows(
            conversations=self._deleted.conversations + step.deleted.conversations,
            messages=self._deleted.messages + step.deleted.messages,
            turns=self._deleted.turns + step.deleted.turns,
        )

    def response(self, *, more: bool) -> ApplyRetentionResponse:
        """Return the sum."""
        return ApplyRetentionResponse(
            dry_run=self._dry_run,
            archived=self._archived,
            deleted=self._deleted,
            skipped=self._skipped,
            more=more,
        )
