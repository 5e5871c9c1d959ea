"""Applies the retention policies a user at a time, until it is done or has taken long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ..errors import AppError
from ..models.retention import ApplyRetentionResponse, ListedUsers, RemovedRows

if TYPE_CHECKING:
    from uuid import UUID

    from ..models.retention import ApplyRetentionRequest
    from ..persistence import Persistence

log = structlog.get_logger(__name__)

SECONDS = 20.0  # gateways wait little longer for an answer


async def apply_retention(
    persistence: Persistence, request: ApplyRetentionRequest
) -> ApplyRetentionResponse:
    """Archive and delete what the policies say, or count it; `more` where another call goes on.

    Of all who are due, one who can't be served keeps no other waiting.
    """
    deadline = time.monotonic() + SECONDS
    done = _Sum(dry_run=request.dry_run)
    page = await _first_page(persistence, request)
    served: set[UUID] = set()
    while True:
        for user_id in page.users:
            room = request.most - done.conversations
            if room <= 0 or time.monotonic() > deadline:
                return done.response(more=True)
            if user_id not in served:  # a user's step is about all that is due of theirs
                served.add(user_id)
                done.add(await _step(persistence, request, user_id, most=room))
        if page.next is None:
            return done.response(more=done.has_more)
        if time.monotonic() > deadline:
            return done.response(more=True)
        page = await persistence.list_users_due_for_retention(
            project_id=request.project_id, place=page.next
        )


async def _first_page(persistence: Persistence, request: ApplyRetentionRequest) -> ListedUsers:
    if request.user_id is not None:
        return ListedUsers(users=[request.user_id])
    return await persistence.list_users_due_for_retention(project_id=request.project_id, place=None)


async def _step(
    persistence: Persistence, request: ApplyRetentionRequest, user_id: UUID, *, most: int
) -> ApplyRetentionResponse | None:
    """Take a user's step; None if one of many can't be served."""
    try:
        return await persistence.apply_retention(
            user_id, dry_run=request.dry_run, most=most, project_id=request.project_id
        )
    except AppError:
        if request.user_id is not None:
            raise
        log.exception("retention_not_applied", user_id=str(user_id))
        return None


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

    def add(self, step: ApplyRetentionResponse | None) -> None:
        """Count a user's step, if it was taken."""
        if step is None:
            return
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
