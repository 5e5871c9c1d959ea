"""What is stored of one chat, as its user reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..conversations.pages import read_conversation
from ..encoding.ids import conversation_of
from ..errors import ConversationNotFoundError, TurnNotFoundError
from ..models.conversations import LoadConversationRequest

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.conversations import LoadConversationResponse
    from ..models.rows import ConversationRow
    from ..models.turns import TurnRecord
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
        self, *, limit: int, before: int | None = None, settles: bool = True
    ) -> LoadConversationResponse | None:
        """Return a page of the active path; None if there is no such conversation.

        A turn whose worker is gone is settled first, but where that isn't to be.
        """
        asked = {"conversationId": str(self.id), "limit": limit, "before": before}
        request = LoadConversationRequest.model_validate(asked)
        try:
            if not settles:
                return await self._persistence.load_conversation(
                    self.user_id, request, caller=self.caller
                )
            return await read_conversation(
                self._persistence, self.user_id, request, caller=self.caller
            )
        except ConversationNotFoundError:
            return None

    async def open_turn(self, *, settles: bool = False) -> UUID | None:
        """Return the id of the turn that isn't settled, also if its worker is gone."""
        page = await self.page(limit=1, settles=settles)
        return page.open_turn.turn_id if page and page.open_turn else None

    async def conversation(self) -> ConversationRow:
        """Return the conversation's row; raise ConversationNotFoundError."""
        return await self._persistence.get_conversation(self.user_id, self.id, caller=self.caller)

    async def find(self, *keys: str) -> TurnRecord | None:
        """Return the turn of the first of these keys that has one."""
        try:
            return await self._persistence.find_turn(self.user_id, list(keys), caller=self.caller)
        except TurnNotFoundError:
            return None

    async def turn(self, turn_id: UUID) -> TurnRecord:
        """Return a turn; raise TurnNotFoundError."""
        return await self._persistence.load_turn(self.user_id, turn_id, caller=self.caller)

    async def row_of(self, reply_id: UUID) -> UUID:
        """Return the id of a reply's row: its message goes by its turn."""
        try:
            record = await self.turn(reply_id)
        except TurnNotFoundError:
            return reply_id
        return record.reply.id if record.reply else record.user_message.id
