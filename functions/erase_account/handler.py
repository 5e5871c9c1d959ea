"""Removes everything that is stored of a user, and gives a receipt."""

from fastapi import APIRouter, Depends

from shared.conversations import erasure
from shared.http.routing import BEARER, CallerOf, CheckedRoute, IdempotencyKey, ServicesOf
from shared.models.erasure import EraseAccountAnswer, EraseAccountRequest

router = APIRouter(route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["erase-account"])


@router.post("/erase-account")
async def erase_account(
    body: EraseAccountRequest,
    caller: CallerOf,
    services: ServicesOf,
    idempotency_key: IdempotencyKey,
) -> EraseAccountAnswer:
    """Delete every conversation of the user's, for good. The account itself is left to Auth."""
    return await erasure.erase_account(
        await services.remover(),
        caller.acting_for(body.user_id),
        caller=caller,
        idempotency_key=idempotency_key,
    )
