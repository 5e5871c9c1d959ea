"""What a user's turns came to: counts, times, tokens, and how well they were kept."""

from shared.http.dependencies import CurrentCaller, CurrentContainer, HeavyReadPlace
from shared.http.routing import EndpointRouter
from shared.models.analytics import ConversationAnalyticsRequest, ConversationAnalyticsResponse

router = EndpointRouter("conversation-analytics")


@router.api_route("", methods=["GET", "POST"])
async def conversation_analytics(
    request: ConversationAnalyticsRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
    _: HeavyReadPlace,
) -> ConversationAnalyticsResponse:
    """Count the user's own turns in a range, in all and for each of 400 buckets at most."""
    return await container.persistence.conversation_analytics(
        caller.acting_for(request.user_id),
        request,
        caller=caller,
        prices=container.settings.model_prices,
    )
