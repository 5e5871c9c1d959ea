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
    page = await _first_page(persistence, request)
    served: set[UUID] = set()
    steps: list[ApplyRetentionResponse] = []
    while True:
        for user_id in page.users:
            room = request.most - sum(map(_looked_at, steps))
            if room <= 0 or time.monotonic() > deadline:
                return _sum_of(steps, request, more=True)
            if user_id not in served:  # a user's step is about all that is due of theirs
                served.add(user_id)
                steps += await _step(persistence, request, user_id, most=room)
        if page.next is None:
            return _sum_of(steps, request, more=any(step.more for step in steps))
        if time.monotonic() > deadline:
            return _sum_of(steps, request, more=True)
        page = await persistence.list_users_due_for_retention(
            project_id=request.project_id, place=page.next
        )


async def _first_page(persistence: Persistence, request: ApplyRetentionRequest) -> ListedUsers:
    if request.user_id is not None:
        return ListedUsers(users=[request.user_id])
    return await persistence.list_users_due_for_retention(project_id=request.project_id, place=None)


async def _step(
    persistence: Persistence, request: ApplyRetentionRequest, user_id: UUID, *, most: int
) -> list[ApplyRetentionResponse]:
    """Take a user's step; none if one of many can't be served."""
    try:
        step = await persistence.apply_retention(
            user_id, dry_run=request.dry_run, most=most, project_id=request.project_id
        )
    except AppError:
        if request.user_id is not None:
            raise
        log.exception("retention_not_applied", user_id=str(user_id))
        return []
    return [step]


def _looked_at(step: ApplyRetentionResponse) -> int:
    return step.archived + step.skipped + step.deleted.conversations


def _sum_of(
    steps: list[ApplyRetentionResponse], request: ApplyRetentionRequest, *, more: bool
) -> ApplyRetentionResponse:
    names = RemovedRows.model_fields
    deleted = {name: sum(getattr(step.deleted, name) for step in steps) for name in names}
    return ApplyRetentionResponse(
        dry_run=request.dry_run,
        archived=sum(step.archived for step in steps),
        deleted=RemovedRows(**deleted),
        skipped=sum(step.skipped for step in steps),
        more=more,
    )
