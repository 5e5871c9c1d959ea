"""Rows of the database, as they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, WithJsonSchema

from ..encoding.parts import Part
from .base import Row

Role = Literal["user", "assistant", "system"]

TurnStatus = Literal[
    "running",  # -> any of the others, which are final
    "completed",
    "failed",
    "cancelled",
    "interrupted",
]


def _nullable(kind: str) -> dict[str, Any]:
    return {"anyOf": [{"type": kind}, {"type": "null"}]}


# What the service writes; beside it stands what the request brought under keys of its own.
MESSAGE_METADATA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": True,
    "properties": {
        "success": {"type": "boolean"},
        "filesGenerated": {"type": "integer"},
        "files": {"type": "array", "items": {"type": "object"}},
        "duration": {"type": "number"},
        "intent": _nullable("string"),
        "complexity": _nullable("string"),
        "strategy": _nullable("string"),
        "error": {
            "type": "object",
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
        "timestamp": {"type": "string"},
        "projectId": _nullable("string"),
        "engine": {"type": "string"},
    },
}


class ConversationRow(Row):
    """A row of `conversations`."""

    id: UUID
    user_id: UUID
    project_id: UUID | None
    title: str
    metadata: dict[str, Any]
    last_seq: int
    active_branch: int = 0
    last_branch: int = 0
    created_at: str
    updated_at: str
    archived_at: str | None
    restored_at: str | None = None
    imported: dict[str, Any] | None = None


class MessageRow(Row):
    """A row of `messages`."""

    id: UUID
    conversation_id: UUID
    role: Role
    content: str
    generated_code: str | None
    metadata: Annotated[dict[str, Any], WithJsonSchema(MESSAGE_METADATA)]
    user_id: UUID
    is_summary: bool
    created_at: str
    seq: int
    turn_id: UUID | None
    branch: int = 0
    parts: list[Part] = Field(default_factory=list)
    native: dict[str, Any] | None = None


class TurnRow(Row):
    """A row of `turns`, without what only the store needs."""

    id: UUID
    user_id: UUID
    idempotency_key: str
    status: TurnStatus
    attempt: int
    lease_expires_at: str
    tokens: int = 0
    answers: UUID | None = None
