"""Builds the response to a turn, from stored rows alone: a replay says the same again."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any

from ..errors import TurnInProgressError
from ..models.turns import (
    AnalysisResponse,
    ComplexityLevel,
    ExecutionStrategy,
    MegaMindResponse,
    UnstoredMessage,
    UserIntent,
)

if TYPE_CHECKING:
    from uuid import UUID

    from ..models.turns import TurnRecord
    from .reply import Reply


def stored_response(record: TurnRecord, *, replayed: bool) -> MegaMindResponse:
    """Return the response to a settled turn; raise TurnInProgressError for one that still runs."""
    if record.reply is None:
        raise turn_in_progress(record)
    return MegaMindResponse(
        conversation_id=record.conversation.id,
        turn_id=record.turn.id,
        replayed=replayed,
        user_message=record.user_message,
        message=record.reply,
        **_described_by(record.reply.metadata),
    )


def unstored_response(reply: Reply, conversation_id: UUID | None) -> MegaMindResponse:
    """Return the response to a run that was not to be stored."""
    return MegaMindResponse(
        conversation_id=conversation_id,
        turn_id=None,
        replayed=False,
        user_message=None,
        message=unstored_message(reply),
        **_described_by(reply.metadata),
    )


def unstored_message(reply: Reply) -> UnstoredMessage:
    """Return a reply in the shape of a row, without what only the store can give."""
    return UnstoredMessage(
        content=reply.content,
        generated_code=reply.generated_code,
        metadata=reply.metadata,
        parts=reply.parts,
        native=reply.native,
    )


def turn_in_progress(record: TurnRecord) -> TurnInProgressError:
    """Return the error that names the turn that runs, and when to ask again."""
    expires = datetime.fromisoformat(record.turn.lease_expires_at)
    remaining = ceil((expires - datetime.now(UTC)).total_seconds())
    return TurnInProgressError(
        details={"turnId": str(record.turn.id), "conversationId": str(record.conversation.id)},
        hint="Wait and ask again with the same Idempotency-Key.",
        retry_after=min(max(remaining, 1), 2),
    )


def _described_by(metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "success": metadata.get("success", False),
        "analysis": AnalysisResponse(
            user_intent=UserIntent(primary_goal=metadata.get("intent")),
            complexity=ComplexityLevel(level=metadata.get("complexity")),
            execution_strategy=ExecutionStrategy(primary_approach=metadata.get("strategy")),
        ),
        "files_generated": metadata.get("filesGenerated", 0),
        "files": metadata.get("files", []),
        "duration": metadata.get("duration", 0.0),
    }
