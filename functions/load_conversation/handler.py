"""Gives a conversation back, in order, a page at a time."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.conversations.pages import read_conversation
from shared.http.routing import BEARER, CheckedRoute, CurrentCaller, CurrentContainer
from shared.models.conversations import (
    LoadConversationQuery,
    LoadConversationRequest,
    LoadConversationResponse,
)

router = APIRouter(
    route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["load-conversation"]
)


@router.get("/load-conversation")
async def load_conversation_by_query(
    query: Annotated[LoadConversationQuery, Query()],
    caller: CurrentCaller,
    container: CurrentContainer,
) -> LoadConversationResponse:
    """Return the newest page, or the one `before`, `after` or `around` a place."""
    return await read_conversation(container.persistence, query, caller=caller)


@router.post("/load-conversation")
async def load_conversation(
    body: LoadConversationRequest, caller: CurrentCaller, container: CurrentContainer
) -> LoadConversationResponse:
    """Return the newest page, or the one `before`, `after` or `around` a place."""
    return await read_conversation(container.persistence, body, caller=caller)
