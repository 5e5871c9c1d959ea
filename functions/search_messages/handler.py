"""Finds the signed-in user's own messages again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.conversations.search import find_messages
from shared.http.routing import BEARER, CheckedRoute, CurrentContainer, SignedInUser
from shared.models.search import SearchMessagesQuery, SearchMessagesRequest, SearchMessagesResponse

router = APIRouter(
    route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["search-messages"]
)


@router.get("/search-messages")
async def search_messages_by_query(
    query: Annotated[SearchMessagesQuery, Query()], user: SignedInUser, container: CurrentContainer
) -> SearchMessagesResponse:
    """Return the best hits, each with a snippet; words, "phrases", `or` and -exclusions count."""
    return await find_messages(container.persistence, query, caller=user)


@router.post("/search-messages")
async def search_messages(
    body: SearchMessagesRequest, user: SignedInUser, container: CurrentContainer
) -> SearchMessagesResponse:
    """Return the best hits, each with a snippet; words, "phrases", `or` and -exclusions count."""
    return await find_messages(container.persistence, body, caller=user)
