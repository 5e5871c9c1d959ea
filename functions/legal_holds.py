"""Legal holds: what nobody can remove until they are released. For the service."""

from shared.errors import ConversationNotFoundError, LegalHoldNotFoundError, UserNotFoundError
from shared.http.dependencies import CurrentContainer, ServiceCaller, UserInQuery
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.base import PlainUuid
from shared.models.retention import (
    LegalHoldResponse,
    LegalHoldsResponse,
    ListLegalHoldsRequest,
    PlaceLegalHoldRequest,
)

router = EndpointRouter("legal-holds")


@router.get("")
async def list_legal_holds(
    request: ListLegalHoldsRequest, _: ServiceCaller, container: CurrentContainer
) -> LegalHoldsResponse:
    """Return the holds that are in force, or that were released, newest first."""
    return await container.persistence.list_legal_holds(request)


@router.post(
    "", status_code=201, responses=error_responses(UserNotFoundError, ConversationNotFoundError)
)
async def place_legal_hold(
    request: PlaceLegalHoldRequest, caller: ServiceCaller, container: CurrentContainer
) -> LegalHoldResponse:
    """Keep a conversation, or all of a user's, from being removed."""
    user_id = caller.acting_for(request.user_id)
    return LegalHoldResponse(hold=await container.persistence.place_legal_hold(user_id, request))


@router.delete("/{hold_id}", responses=error_responses(LegalHoldNotFoundError))
async def release_legal_hold(
    hold_id: PlainUuid, user_id: UserInQuery, _: ServiceCaller, container: CurrentContainer
) -> LegalHoldResponse:
    """Release a hold. Its row stays and says when; repeating this changes nothing."""
    return LegalHoldResponse(hold=await container.persistence.release_legal_hold(user_id, hold_id))
