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
from .calls import Calls

if TYPE_CHECKING:
    from uuid import UUID


class RetentionCalls(Calls):
    """Policies, legal holds and erasure: the service's."""

    async def set_retention_policy(self, request: SetRetentionPolicyRequest) -> RetentionPolicyRow:
        """Set the one policy of a user, of a project, or of everybody."""
        return await self._call_with_retries(
            RetentionPolicyRow,
            "set_retention_policy",
            user_id=request.user_id,
            project_id=request.project_id,
            archive_after_days=request.archive_after_days,
            delete_after_days=request.delete_after_days,
        )

    async def list_retention_policies(
        self, request: ListRetentionPoliciesRequest
    ) -> RetentionPoliciesResponse:
        """Read the policies."""
        return await self._call_with_retries(
            RetentionPoliciesResponse,
            "list_retention_policies",
            user_id=request.user_id,
            project_id=request.project_id,
        )

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

    async def apply_retention(
        self, user_id: UUID, *, dry_run: bool, most: int, project_id: UUID | None
    ) -> ApplyRetentionResponse:
        """Archive and delete what the policies say of one user's conversations, or count it."""
        return await self._call(
            ApplyRetentionResponse,
            "apply_retention",
            user_id=user_id,
            dry_run=dry_run,
            most=most,
            project_id=project_id,
        )

    async def place_legal_hold(self, user_id: UUID, request: PlaceLegalHoldRequest) -> LegalHoldRow:
        """Keep a conversation, or all of a user's, from being removed."""
        return await self._call(
            LegalHoldRow,
            "place_legal_hold",
            user_id=user_id,
            reason=request.reason,
            conversation_id=request.conversation_id,
        )

    async def list_legal_holds(self, request: ListLegalHoldsRequest) -> LegalHoldsResponse:
        """Read the holds in force, or those that were released."""
        return await self._call_with_retries(
            LegalHoldsResponse,
            "list_legal_holds",
            user_id=request.user_id,
            conversation_id=request.conversation_id,
            released=request.released,
        )

    async def release_legal_hold(
        self,
        user_id: UUID,
        hold_id: UUID,
    ) -> LegalHoldRow:
        """End a hold."""
        return await self._call_with_retries(
            LegalHoldRow, "release_legal_hold", user_id=user_id, hold_id=hold_id
        )

    async def erase_account(
        self, user_id: UUID, *, idempotency_key: str, requested_by: str
    ) -> ErasureReceipt:
        """Delete some of a user's conversations; the same key goes on where it ended."""
        return await self._call_with_retries(
            ErasureReceipt,
            "erase_account",
            user_id=user_id,
            idempotency_key=idempotency_key,
            requested_by=requested_by,
        )

    async def list_removals(self) -> ListedUsers:
        """List whose deletions or erasure were begun and not ended."""
        return await self._call_with_retries(ListedUsers, "list_removals")

    async def continue_removal(self, user_id: UUID) -> RemovalStep:
        """Go on with what of a user's is being deleted, for two seconds."""
        return await self._call(RemovalStep, "continue_removal", user_id=user_id)
