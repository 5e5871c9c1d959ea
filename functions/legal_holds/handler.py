"""Legal holds: what nobody can remove until they are released. For the service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.http.routing import BEARER, CheckedRoute, ServiceOf, ServicesOf
from shared.models.base import PlainUuid
from shared.models.retention import (
    LegalHoldAnswer,
    LegalHoldsAnswer,
    ListLegalHoldsRequest,
    PlaceLegalHoldRequest,
)

router = APIRouter(
    prefix="/legal-holds",
    route_class=CheckedRoute,
    dependencies=[Depends(BEARER)],
    tags=["legal-holds"],
)


@router.get("")
async def list_legal_holds(
    query: Annotated[ListLegalHoldsRequest, Query()], _: ServiceOf, services: ServicesOf
) -> LegalHoldsAnswer:
    """Return the holds that are in force, or that were released, newest first."""
    return await services.persistence.list_legal_holds(query)


@router.post("", status_code=201)
async def place_legal_hold(
    body: PlaceLegalHoldRequest, _: ServiceOf, services: ServicesOf
) -> LegalHoldAnswer:
    """Keep a conversation, or all of a user's, from being removed."""
    return LegalHoldAnswer(hold=await services.persistence.place_legal_hold(body))


@router.delete("/{hold_id}")
async def release_legal_hold(
    hold_id: PlainUuid, _: ServiceOf, services: ServicesOf
) -> LegalHoldAnswer:
    """Release a hold. Its row stays and says when; repeating this changes nothing."""
    return LegalHoldAnswer(hold=await services.persistence.release_legal_hold(hold_id))
