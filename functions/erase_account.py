"""Removes everything that is stored of a user, and gives a receipt."""

from shared.conversations import erasure
from shared.errors import IdempotencyKeyReusedError, LegalHoldError
from shared.http.dependencies import CurrentCaller, CurrentContainer, IdempotencyKey
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.erasure import EraseAccountRequest, EraseAccountResponse

router = EndpointRouter("erase-account")


@router.post("", responses=error_responses(LegalHoldError, IdempotencyKeyReusedError))
async def erase_account(
    request: EraseAccountRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
    idempotency_key: IdempotencyKey,
) -> EraseAccountResponse:
    """Delete every conversation of the user's, for good. The account itself is left to Auth."""
    return await erasure.erase_account(
        container.persistence,
        caller.acting_for(request.user_id),
        caller=caller,
        idempotency_key=idempotency_key,
    )
