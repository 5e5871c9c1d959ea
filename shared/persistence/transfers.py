"""SQL functions about exports and imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.models.transfers import ConversationIds, ExportPage, ImportOutcomes, StagedPart
from shared.persistence.calls import Calls

if TYPE_CHECKING:
    from uuid import UUID

    from shared.auth.caller import Caller


class TransferCalls(Calls):
    """Conversations as they leave and come."""

    async def export_messages(
        self,
        user_id: UUID,  # noqa: ARG002 - not yet an argument of the SQL function
        conversation_id: UUID,
        *,
        caller: Caller,
        after: int = 0,
        until: int | None = None,
    ) -> ExportPage:
        """Read a conversation and its next messages, up to the seq `until`."""
        return await self._call_with_retries(
            ExportPage,
            "export_messages",
            caller,
            conversation_id=conversation_id,
            after=after,
            until=until,
        )

    async def export_conversations(
        self, user_id: UUID, *, caller: Caller, after: UUID | None
    ) -> ConversationIds:
        """Read the next ids of a user's conversations."""
        return await self._call_with_retries(
            ConversationIds, "export_conversations", caller, user_id=user_id, after=after
        )

    async def stage_import(
        self,
        user_id: UUID,
        import_id: UUID,
        *,
        part: int,
        conversations: list[dict[str, Any]],
        messages: list[dict[str, Any]],
    ) -> StagedPart:
        """Keep a part of an import until it is committed."""
        return await self._call_with_retries(
            StagedPart,
            "stage_import",
            import_id=import_id,
            part=part,
            user_id=user_id,
            conversations=conversations,
            messages=messages,
        )

    async def commit_import(self, user_id: UUID, import_id: UUID, *, parts: int) -> ImportOutcomes:
        """Take all that was staged, or nothing."""
        return await self._call(
            ImportOutcomes, "commit_import", import_id=import_id, user_id=user_id, parts=parts
        )

    async def discard_import(
        self,
        user_id: UUID,  # noqa: ARG002 - not yet an argument of the SQL function
        import_id: UUID,
    ) -> None:
        """Forget what was staged."""
        await self._store.call("discard_import", {"import_id": str(import_id)}, caller=None)
