"""What a user's turns came to: counts, times, tokens, and how well they were kept."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.http.routing import BEARER, CheckedRoute, CurrentCaller, CurrentContainer
from shared.models.analytics import ConversationAnalyticsRequest, ConversationAnalyticsResponse

router = APIRouter(
    route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["conversation-analytics"]
)


@router.get("/conversation-analytics")
async def conversation_analytics_by_query(
    query: Annotated[ConversationAnalyticsRequest, Query()],
    caller: CurrentCaller,
    container: CurrentContainer,
) -> ConversationAnalyticsResponse:
    """Count the user's own turns in a range, in all and for each of 400 buckets at most."""
    return await container.persistence.conversation_analytics(
        query,
        caller=caller,
        user_id=caller.acting_for(query.user_id),
        prices=container.settings.model_prices,
    )


@router.post("/conversation-analytics")
async def conversation_analytics(
    body: ConversationAnalyticsRequest, caller: CurrentCaller, container: CurrentContainer
) -> ConversationAnalyticsResponse:
    """Count the user's own turns in a range, in all and for each of 400 buckets at most."""
    return await conversation_analytics_by_query(body, caller, container)
