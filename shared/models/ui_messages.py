"""What ui-messages takes and returns: the AI SDK's messages around our rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue, model_validator

from .base import Envelope, Limit, PlainUuid, RequestBody, Seq
from .conversations import OpenTurn, Page
from .rows import ConversationRow, Role, TurnStatus

ChatId = Annotated[
    str,
    Field(
        max_length=255,
        pattern=r"^[^/]+$",
        description="The conversation's id; any other text is a conversation of the user's own.",
        examples=["6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"],
    ),
]


class UiMessage(BaseModel):
    """A message in the AI SDK's shape (`UIMessage`)."""

    id: str = Field(
        min_length=1,
        max_length=255,
        description="The row's id, of a reply its turn's; of a message that is sent, any text.",
    )
    role: Role
    parts: list[dict[str, JsonValue]] = Field(
        description="What it says, in the shapes of the AI SDK's message parts.",
        examples=[[{"type": "text", "text": "Hello"}]],
    )
    metadata: dict[str, Any] | None = Field(
        default=None,
        description="The row's own, and `messageId`, `seq` and `createdAt`.",
        examples=[{"seq": 1}],
    )


class UiMessagesRequest(RequestBody):
    """What `DefaultChatTransport` sends. Only the last message counts: the history is stored."""

    LAST_ALONE: ClassVar[str | None] = "messages"
    TOO_LARGE_HINT: ClassVar[str | None] = (
        "Send the last message alone: prepareSendMessagesRequest: ({ id, messages, trigger,"
        " messageId }) => ({ body: { id, message: messages.at(-1), trigger, messageId } })"
    )

    EXAMPLE: ClassVar = {
        "id": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11",
        "messages": [
            {
                "id": "2Zb8tLw0QyX1aVfe",
                "role": "user",
                "parts": [{"type": "text", "text": "Hello"}],
            }
        ],
        "trigger": "submit-message",
    }

    id: ChatId
    messages: list[UiMessage] | None = Field(
        default=None, description="The chat as it is shown, or its last message alone."
    )
    message: UiMessage | None = Field(
        default=None, description="The last message alone, in place of all of them."
    )
    trigger: Literal["submit-message", "regenerate-message"] = Field(
        default="submit-message",
        description="Whether the last message is to be answered, or answered once more.",
    )
    message_id: str | None = Field(
        default=None,
        max_length=255,
        description="The message that is edited or answered once more, or the reply to it.",
    )
    project_id: PlainUuid | None = None
    user_id: PlainUuid | None = None

    @model_validator(mode="after")
    def _one_last_message(self) -> Self:
        if (self.message is None) == (not self.messages):
            raise ValueError("give messages, or the last message alone, and not both")
        return self

    @property
    def last_message(self) -> UiMessage:
        """What is answered."""
        return self.message or (self.messages or [])[-1]


class LoadUiMessagesRequest(RequestBody):
    """Which page of a chat: the newest, or the one before a seq."""

    limit: Limit = 50
    before: Seq | None = None
    user_id: PlainUuid | None = None


class LoadUiMessagesResponse(Envelope):
    """A page of a chat, oldest message first; empty, without a conversation, for a new one."""

    conversation: ConversationRow | None
    messages: list[UiMessage]
    page: Page
    open_turn: OpenTurn | None


class StopChatResponse(Envelope):
    """Which turn was stopped, and how it stands; null if none was running."""

    turn_id: UUID | None
    status: TurnStatus | None
