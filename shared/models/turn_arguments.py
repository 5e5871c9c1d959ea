"""What the SQL functions that begin and complete a turn take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from uuid import UUID

    from ..encoding.parts import Part


class TurnBegin(TypedDict):
    """What begin_turn takes.

    `message_id` becomes the row's id where the row is new. A turn that `regenerates` has no row of
    its own: then it is the turn's. With `opens_conversation` `conversation_id` becomes the
    conversation's, where nobody has it. Without `request_hash` the key is a known turn's.
    """

    user_id: UUID
    idempotency_key: str
    request_hash: str | None
    request: str
    message_id: UUID
    conversation_id: UUID | None
    project_id: UUID | None
    metadata: dict[str, Any]
    parts: NotRequired[list[Part] | None]
    native: NotRequired[dict[str, Any] | None]
    lease_seconds: int
    history_tokens: int
    turns_per_minute: NotRequired[int | None]
    turns_per_day: NotRequired[int | None]
    tokens_per_day: NotRequired[int | None]
    edits: NotRequired[UUID | None]
    regenerates: NotRequired[UUID | None]
    opens_conversation: NotRequired[bool]
    known_from: NotRequired[int | None]
    known_id: NotRequired[UUID | None]
    known_tokens: NotRequired[int | None]


class TurnCompletion(TypedDict):
    """What complete_turn takes."""

    user_id: UUID
    turn_id: UUID
    attempt: int
    message_id: UUID
    status: str
    content: str
    generated_code: str | None
    metadata: dict[str, Any]
    error: dict[str, Any] | None
    tokens: int
    parts: NotRequired[list[Part] | None]
    native: NotRequired[dict[str, Any] | None]
