"""Retention and legal holds: requests, responses and rows."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StrictBool, model_validator

from .base import Envelope, PlainUuid, RequestBody, Row, _not_blank

Days = Annotated[int, Field(ge=1, le=36500, strict=True)]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_not_blank)]


class RetentionPolicyRow(Row):
    """A row of `retention_policies`."""

    id: UUID
    user_id: UUID | None
    project_id: UUID | None
    archive_after_days: int | None
    delete_after_days: int | None
    created_at: str
    updated_at: str


class LegalHoldRow(Row):
    """A row of `legal_holds`."""

    id: UUID
    user_id: UUID
    conversation_id: UUID | None
    reason: str
    placed_at: str
    released_at: str | None


class ListRetentionPoliciesRequest(RequestBody):
    """All of them, or a user's, or a project's."""

    user_id: PlainUuid | None = None
    project_id: PlainUuid | None = None


class SetRetentionPolicyRequest(RequestBody):
    """The policy of a user, of a project, or with neither of everybody. Null days are never."""

    EXAMPLE: ClassVar = {"archiveAfterDays": 90, "deleteAfterDays": 365}

    user_id: PlainUuid | None = None
    project_id: PlainUuid | None = None
    archive_after_days: Days | None = None
    delete_after_days: Days | None = None

    @model_validator(mode="after")
    def _one_scope_in_order(self) -> Self:
        if self.user_id is not None and self.project_id is not None:
            raise ValueError("only one of userId and projectId can be given")
        archive, delete = self.archive_after_days, self.delete_after_days
        if archive is not None and delete is not None and archive > delete:
            raise ValueError("archiveAfterDays should not be more than deleteAfterDays")
        return self


class RetentionPolicyResponse(Envelope):
    """One policy."""

    policy: RetentionPolicyRow


class RetentionPoliciesResponse(Envelope):
    """Policies, oldest first, 1,000 at most."""

    policies: list[RetentionPolicyRow]


class ListLegalHoldsRequest(RequestBody):
    """Holds in force, or those that were released."""

    user_id: PlainUuid | None = None
    conversation_id: PlainUuid | None = None
    released: StrictBool = False


class PlaceLegalHoldRequest(RequestBody):
    """What must not be removed: all of a user's, or one conversation; and why, without content."""

    EXAMPLE: ClassVar = {
        "userId": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11",
        "reason": "Case 2026-17",
    }

    reason: Reason
    user_id: PlainUuid | None = None
    conversation_id: PlainUuid | None = None


class LegalHoldResponse(Envelope):
    """One legal hold."""

    hold: LegalHoldRow


class LegalHoldsResponse(Envelope):
    """Legal holds, newest first, 1,000 at most."""

    holds: list[LegalHoldRow]


class ApplyRetentionRequest(RequestBody):
    """Whether to count alone, how many conversations at most, and of whom."""

    EXAMPLE: ClassVar = {"dryRun": True}

    dry_run: StrictBool = True
    most: Annotated[int, Field(ge=1, le=5000, strict=True)] = 500
    user_id: PlainUuid | None = None
    project_id: PlainUuid | None = None


class RetentionPlace(BaseModel):
    """Where the next page of a listing begins: behind this conversation."""

    after_updated_at: str
    after_id: UUID


class ListedUsers(BaseModel):
    """What a listing answers: whose turn it is, and the next page's place if there is one."""

    users: list[UUID]
    next: RetentionPlace | None = None


class RemovedRows(Envelope):
    """How much is gone, or would be."""

    conversations: int
    messages: int
    turns: int


class ApplyRetentionResponse(Envelope):
    """What was archived and deleted; on a dry run, what a real one would.

    `skipped` were being written to. With `more`, another call goes on.
    """

    dry_run: bool
    archived: int
    deleted: RemovedRows
    skipped: int
    more: bool
