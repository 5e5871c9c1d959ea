"""SQL functions about conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.conversations import (
    ConversationList,
    ListPlace,
    LoadConversationRequest,
    LoadConversationResponse,
    RemovalStep,
)
from ..models.rows import ConversationRow
from .calls import Calls, once, repeated
from .replica import anything, has_seq

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller


class ConversationCalls(Calls):
    """Conversations as their owner reads and keeps them."""

    async def load_conversation(
        self,
        user_id: UUID,
        request: LoadConversationRequest,
        *,
        caller: Caller,
        model: type[LoadConversationResponse] = LoadConversationResponse,
    ) -> LoadConversationResponse:
        """Read a page of a user's conversation; from a replica if it has what the caller knows."""
        seen = request.known_seq
        return await self._call_with_retries(
            model,
            "load_conversation",
            caller,
            is_enough=None if seen is None else has_seq(seen),
            user_id=user_id,
            conversation_id=request.conversation_id,
            page_size=request.limit,
            before=request.before,
            after=request.after,
            around=request.around,
            view=request.view,
            branch=request.branch,
        )

    async def list_conversations(
        self,
        user_id: UUID,
        *,
        caller: Caller,
        archived: bool,
        project_id: UUID | None,
        limit: int,
        place: ListPlace | None,
    ) -> ConversationList:
        """Read a page of a user's conversations: the first, or the one at a place."""
        return await self._call_with_retries(
            ConversationList,
            "list_conversations",
            caller,
            is_enough=anything,
            user_id=user_id,
            archived=archived,
            project_id=project_id,
            page_size=limit,
            before_updated_at=place and place.before_updated_at,
            before_id=place and place.before_id,
        )

    @once(ConversationRow)
    async def create_conversation(
        self,
        user_id: UUID,
        *,
        caller: Caller,
        title: str,
        project_id: UUID | None,
        metadata: dict[str, Any],
    ) -> ConversationRow:
        """Start an empty conversation."""

    @repeated(ConversationRow)
    async def get_conversation(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        caller: Caller,
    ) -> ConversationRow:
        """Read one conversation's row."""

    @once(ConversationRow)
    async def update_conversation(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        caller: Caller,
        title: str | None,
        archived: bool | None,
        active_branch: int | None = None,
    ) -> ConversationRow:
        """Rename, archive or restore a conversation, or choose its branch; None leaves as it is."""

    @once(RemovalStep)
    async def delete_conversation(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        caller: Caller,
    ) -> RemovalStep:
        """Delete a conversation with everything in it; a long one is hidden, and goes in steps."""
