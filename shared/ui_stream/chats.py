"""A conversation behind `useChat`: what it sends, resumes, loads and stops, as turns of ours."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from pydantic import ValidationError

from ..conversations.pages import read_conversation
from ..errors import ConversationNotFoundError, InvalidRequestError
from ..models.conversations import LoadConversationRequest, Page
from ..models.turns import MegaMindRequest
from ..models.ui_messages import LoadUiMessagesResponse, StopChatResponse
from ..turns.follow import START
from ..turns.request import TurnRequest
from .chunks import ui_chunks
from .messages import ui_messages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..auth.caller import Caller
    from ..models.conversations import LoadConversationResponse
    from ..models.ui_messages import UiMessage, UiMessagesRequest
    from ..persistence import Persistence
    from ..turns.runner import TurnRunner
    from .chunks import Chunk

NOTHING = Page(has_older=False, has_newer=False, oldest_seq=None, newest_seq=None)


def conversation_of(user_id: UUID, chat_id: str) -> UUID:
    """Return the conversation that a chat is: the one of that id.

    An id that is none leads to one of the user's own, always the same.
    """
    try:
        found = UUID(chat_id)
    except ValueError:
        return uuid5(user_id, chat_id)
    return found if len(chat_id) == 36 else uuid5(user_id, chat_id)


def message_key(conversation_id: UUID, message_id: str) -> str:
    """Return the idempotency key of a new message: sent again, it is the same turn."""
    digest = hashlib.sha256(f"{conversation_id} {message_id}".encode()).hexdigest()
    return f"ui-message {digest}"


class UiChats:
    """The chats of all users: each call names the verified one."""

    def __init__(self, turns: TurnRunner, persistence: Persistence) -> None:
        self._turns = turns
        self._persistence = persistence

    async def send(
        self, user_id: UUID, request: UiMessagesRequest, *, caller: Caller, arrived_at: float
    ) -> AsyncIterator[Chunk]:
        """Run the turn that a request asks for, or find it, and return the chunks of its reply.

        A chat that is new is opened. Raises what `TurnRunner.stream` does.
        """
        conversation_id = conversation_of(user_id, request.id)
        message = request.last_message
        if message.role != "user":
            raise InvalidRequestError("The last message is to be the user's.")
        turn = TurnRequest(
            user_id,
            message_key(conversation_id, message.id),
            _asked(conversation_id, message, request.project_id),
            caller,
            arrived_at,
            opens_conversation=True,
        )
        return ui_chunks(await self._turns.stream(turn))

    async def resume(
        self, user_id: UUID, chat_id: str, *, caller: Caller, turn_id: UUID | None
    ) -> AsyncIterator[Chunk] | None:
        """Return the chunks of the turn that runs, from its start on; None where none does.

        A turn that is named is given even where it has ended meanwhile.
        """
        if turn_id is None:
            page = await self._page(user_id, chat_id, caller=caller, limit=1)
            if page is None or page.open_turn is None:
                return None
            turn_id = page.open_turn.turn_id
        events = await self._turns.follow(user_id, turn_id, caller=caller, place=START)
        return ui_chunks(events)

    async def load(
        self, user_id: UUID, chat_id: str, *, caller: Caller, limit: int, before: int | None
    ) -> LoadUiMessagesResponse:
        """Return a page of a chat; an empty one for a chat that has no message yet."""
        page = await self._page(user_id, chat_id, caller=caller, limit=limit, before=before)
        if page is None:
            return LoadUiMessagesResponse(
                conversation=None, messages=[], page=NOTHING, open_turn=None
            )
        return LoadUiMessagesResponse(
            conversation=page.conversation,
            messages=ui_messages(page.messages),
            page=page.page,
            open_turn=page.open_turn,
        )

    async def stop(self, user_id: UUID, chat_id: str, *, caller: Caller) -> StopChatResponse:
        """Stop the turn that runs; what it has written is kept as the reply."""
        page = await self._page(user_id, chat_id, caller=caller, limit=1)
        if page is None or page.open_turn is None:
            return StopChatResponse(turn_id=None, status=None)
        record = await self._turns.cancel(user_id, page.open_turn.turn_id)
        return StopChatResponse(turn_id=record.turn.id, status=record.turn.status)

    async def _page(
        self, user_id: UUID, chat_id: str, *, caller: Caller, limit: int, before: int | None = None
    ) -> LoadConversationResponse | None:
        request = LoadConversationRequest.model_validate(
            {
                "conversationId": str(conversation_of(user_id, chat_id)),
                "limit": limit,
                "before": before,
            }
        )
        try:
            return await read_conversation(self._persistence, user_id, request, caller=caller)
        except ConversationNotFoundError:
            return None


def _asked(conversation_id: UUID, message: UiMessage, project_id: UUID | None) -> MegaMindRequest:
    """Return a message as the request that it is."""
    texts = [part.get("text") for part in message.parts if part.get("type") == "text"]
    try:
        return MegaMindRequest.model_validate(
            {
                "request": "\n\n".join(text for text in texts if isinstance(text, str)),
                "conversationId": str(conversation_id),
                "projectId": project_id and str(project_id),
                "metadata": message.metadata or {},
            }
        )
    except ValidationError as exc:
        problems = [
            {"field": ".".join(map(str, ("message", *error["loc"]))), "problem": error["msg"]}
            for error in exc.errors()
        ]
        raise InvalidRequestError(details=problems) from None
