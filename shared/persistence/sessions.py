"""SQL functions of sessions: items that a framework adds and takes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ..models.rows import MessageRow
from .calls import Calls, repeated

if TYPE_CHECKING:
    from uuid import UUID


class Appended(BaseModel):
    """How many messages were new."""

    added: int


class TakenBack(BaseModel):
    """The message that was taken back; None if there was none."""

    message: MessageRow | None


class SessionCalls(Calls):
    """Both do the same twice, by the ids of the rows that they add."""

    @repeated(Appended)
    async def append_messages(
        self, user_id: UUID, conversation_id: UUID, *, messages: list[dict[str, Any]]
    ) -> Appended:
        """Add messages at a conversation's end, all or none; make it where there is none."""

    @repeated(TakenBack)
    async def take_back_message(
        self, user_id: UUID, conversation_id: UUID, *, message_id: UUID
    ) -> TakenBack:
        """Take the newest message back, by a row of this id."""
