"""SQL functions about exports and imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.transfers import (
    ConversationPages,
    ExportPage,
    ExportPlan,
    ImportOutcomes,
)
from .calls import Calls, repeated
from .replica import has_seq

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller


class TransferCalls(Calls):
    """Conversations as they leave and come."""

    async def export_messages(
        self,
        user_id: UUID,
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
            is_enough=has_seq(until or 0),
            is_heavy=True,
            user_id=user_id,
            conversation_id=conversation_id,
            after=after,
            until=until,
        )

    @repeated(ConversationPages, is_heavy=True)
    async def export_conversations(
        self, user_id: UUID, *, caller: Caller, after: UUID | None, until: UUID
    ) -> ConversationPages:
        """Read the next of a user's conversations, up to one, each with its first messages."""

    @repeated(ExportPlan)
    async def plan_export(
        self, user_id: UUID, *, caller: Caller, after: UUID | None, most_bytes: int
    ) -> ExportPlan:
        """Say how far the next part of an account's export goes."""

    @repeated(ImportOutcomes)
    async def take_import_part(
        self,
        user_id: UUID,
        import_id: UUID,
        *,
        part: int,
        pieces: list[dict[str, Any]] | None,
        is_over: bool = False,
    ) -> ImportOutcomes:
        """Take a part of a file, or say what came of it; taking it again does nothing more."""
