"""Gives a conversation back, in order, a page at a time."""

from fastapi import Response

from shared.conversations.pages import read_conversation
from shared.errors import BranchNotFoundError, ConversationNotFoundError, MessageNotFoundError
from shared.http.dependencies import CurrentCaller, CurrentContainer
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.conversations import (
    LoadConversationRequest,
    LoadConversationResponse,
    PassedOnConversation,
)

router = EndpointRouter("load-conversation")


MAY_FAIL = error_responses(ConversationNotFoundError, MessageNotFoundError, BranchNotFoundError)


@router.api_route(
    "", methods=["GET", "POST"], response_model=LoadConversationResponse, responses=MAY_FAIL
)
async def load_conversation(
    request: LoadConversationRequest, caller: CurrentCaller, container: CurrentContainer
) -> Response:
    """Return the newest page, or the one `before`, `after` or `around` a place."""
    user_id = caller.acting_for(request.user_id)
    page = await read_conversation(
        container.persistence, user_id, request, caller=caller, model=PassedOnConversation
    )
    return Response(page.model_dump_json(by_alias=True), media_type="application/json")
