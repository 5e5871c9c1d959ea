"""Reads a conversation so that it never shows a turn that nobody works on any more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.auth import Caller
    from shared.models.conversations import (
        LoadConversationAnswer,
        LoadConversationRequest,
        OpenTurn,
    )
    from shared.persistence import Persistence


async def read_conversation(
    persistence: Persistence, request: LoadConversationRequest, *, caller: Caller
) -> LoadConversationAnswer:
    """Return a page; where the open turn's lease is over, settle the turn and read again."""
    page = await persistence.load_conversation(request, caller=caller)
    if page.open_turn is None or not _is_expired(page.open_turn):
        return page
    await persistence.settle_expired_turn(page.conversation.id)
    return await persistence.load_conversation(request, caller=caller)


def _is_expired(turn: OpenTurn) -> bool:
    """Whether the lease looks over from here; the store decides by its own clock."""
    return datetime.fromisoformat(turn.lease_expires_at) <= datetime.now(UTC)
