"""Removes everything that is stored of a user, and gives a receipt."""

from fastapi import APIRouter, Depends

from shared.conversations import erasure
from shared.http.routing import (
    BEARER,
    CheckedRoute,
    CurrentCaller,
    CurrentContainer,
    IdempotencyKey,
)
from shared.models.erasure import EraseAccountRequest, EraseAccountResponse

router = APIRouter(route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["erase-account"])


@router.post("/erase-account")
async def erase_account(
    body: EraseAccountRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
    idempotency_key: IdempotencyKey,
) -> EraseAccountResponse:
    """Delete every conversation of the user's, for good. The account itself is left to Auth."""
    return await erasure.erase_account(
        await container.remover(),
        caller.acting_for(body.user_id),
        caller=caller,
        idempotency_key=idempotency_key,
    )
