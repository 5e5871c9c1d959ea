"""Finds the signed-in user's own messages again."""

from shared.conversations.search import find_messages
from shared.errors import SearchTooBroadError
from shared.http.dependencies import CurrentContainer, HeavyReadPlace, SignedInUser
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.search import SearchMessagesRequest, SearchMessagesResponse

router = EndpointRouter("search-messages")


@router.api_route("", methods=["GET", "POST"], responses=error_responses(SearchTooBroadError))
async def search_messages(
    request: SearchMessagesRequest,
    user: SignedInUser,
    container: CurrentContainer,
    _: HeavyReadPlace,
) -> SearchMessagesResponse:
    """Return the best hits, each with a snippet; words, "phrases", `or` and -exclusions count."""
    user_id = user.acting_for(None)
    return await find_messages(container.persistence, user_id, request, caller=user)
