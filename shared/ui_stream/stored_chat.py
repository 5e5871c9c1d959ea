"""What is stored of one chat, as its user reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..conversations.pages import read_conversation
from ..errors import ConversationNotFoundError
from ..models.conversations import LoadConversationRequest
from .keys import conversation_of

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.conversations import LoadConversationResponse
    from ..persistence import Persistence


class StoredChat:
    """A chat of the verified user's; nothing is read of it before somebody asks."""

    def __init__(
        self, persistence: Persistence, user_id: UUID, chat_id: str, *, caller: Caller
    ) -> None:
        self._persistence = persistence
        self.user_id = user_id
        self.caller = caller
        self.id = conversation_of(user_id, chat_id)

    async def page(
        self, *, limit: int, before: int | None = None
    ) -> LoadConversationResponse | None:
        """Return a page of the active path; None where there is no such conversation."""
        asked = {"conversationId": str(self.id), "limit": limit, "before": before}
        request = LoadConversationRequest.model_validate(asked)
        try:
            return await read_conversation(
                self._persistence, self.user_id, request, caller=self.caller
            )
        except ConversationNotFoundError:
            return None

    async def running_turn(self) -> UUID | None:
        """Return the id of the turn that runs."""
        page = await self.page(limit=1)
        return page.open_turn.turn_id if page and page.open_turn else None
