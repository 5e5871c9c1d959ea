"""Reads a conversation so that it never shows a turn that nobody works on any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import StoreUnavailableError
from ..models.conversations import LoadConversationResponse

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.conversations import LoadConversationRequest
    from ..persistence import Persistence


async def read_conversation(
    persistence: Persistence,
    user_id: UUID,
    request: LoadConversationRequest,
    *,
    caller: Caller,
    model: type[LoadConversationResponse] = LoadConversationResponse,
) -> LoadConversationResponse:
    """Return a page; where the open turn's lease is over, have it settled and read again.

    If it can't be settled, the page is as it is. Whether the lease is over is what the store says:
    no clock of this process is asked.
    """
    page = await persistence.load_conversation(user_id, request, caller=caller, model=model)
    if page.open_turn is None or not page.open_turn.is_expired:
        return page
    try:
        await persistence.settle_expired_turn(user_id, page.conversation.id)
    except StoreUnavailableError:  # such as one that takes no writes right now
        return page
    settled = request.model_copy(update={"seen": page.last_seq + 1})  # no replica's older page
    return await persistence.load_conversation(user_id, settled, caller=caller, model=model)
