"""SQL functions about how long conversations are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.conversations import RemovalStep
from ..models.erasure import ErasureReceipt
from ..models.retention import (
    ApplyRetentionResponse,
    LegalHoldRow,
    LegalHoldsResponse,
    ListedUsers,
    ListLegalHoldsRequest,
    ListRetentionPoliciesRequest,
    PlaceLegalHoldRequest,
    RetentionPlace,
    RetentionPoliciesResponse,
    RetentionPolicyRow,
    SetRetentionPolicyRequest,
)
from .calls import Calls, once, repeated

if TYPE_CHECKING:
    from uuid import UUID


class RetentionCalls(Calls):
    """Policies, legal holds and erasure: the service's."""

    @repeated(RetentionPolicyRow)
    async def set_retention_policy(self, request: SetRetentionPolicyRequest) -> RetentionPolicyRow:
        """Set the one policy of a user, of a project, or of everybody."""

    @repeated(RetentionPoliciesResponse)
    async def list_retention_policies(
        self, request: ListRetentionPoliciesRequest
    ) -> RetentionPoliciesResponse:
        """Read the policies."""

    async def delete_retention_policy(self, policy_id: UUID) -> None:
        """Remove a policy."""
        await self._store.call(
            "delete_retention_policy", {"policy_id": str(policy_id)}, caller=None
        )

    async def list_users_due_for_retention(
        self, *, project_id: UUID | None, place: RetentionPlace | None
    ) -> ListedUsers:
        """List whose conversations a policy archives or deletes by now: the first page, or next."""
        return await self._call_with_retries(
            ListedUsers,
            "list_users_due_for_retention",
            project_id=project_id,
            after_updated_at=place and place.after_updated_at,
            after_id=place and place.after_id,
        )

    @once(ApplyRetentionResponse)
    async def apply_retention(
        self, user_id: UUID, *, dry_run: bool, most: int, project_id: UUID | None
    ) -> ApplyRetentionResponse:
        """Archive and delete what the policies say of one user's conversations, or count it."""

    @once(LegalHoldRow)
    async def place_legal_hold(self, user_id: UUID, request: PlaceLegalHoldRequest) -> LegalHoldRow:
        """Keep a conversation, or all of a user's, from being removed."""

    @repeated(LegalHoldsResponse)
    async def list_legal_holds(self, request: ListLegalHoldsRequest) -> LegalHoldsResponse:
        """Read the holds in force, or those that were released."""

    @repeated(LegalHoldRow)
    async def release_legal_hold(
        self,
        user_id: UUID,
        hold_id: UUID,
    ) -> LegalHoldRow:
        """End a hold."""

    @repeated(ErasureReceipt)
    async def erase_account(
        self, user_id: UUID, *, idempotency_key: str, requested_by: str
    ) -> ErasureReceipt:
        """Delete some of a user's conversations; the same key goes on where it ended."""

    @repeated(ListedUsers)
    async def list_removals(self) -> ListedUsers:
        """List whose deletions or erasure were begun and not ended."""

    @once(RemovalStep)
    async def continue_removal(self, user_id: UUID) -> RemovalStep:
        """Go on with what of a user's is being deleted, for two seconds."""
