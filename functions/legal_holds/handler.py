"""Legal holds: what nobody can remove until they are released. For the service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.http.routing import BEARER, CheckedRoute, CurrentContainer, ServiceCaller
from shared.models.base import PlainUuid
from shared.models.retention import (
    LegalHoldResponse,
    LegalHoldsResponse,
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
    query: Annotated[ListLegalHoldsRequest, Query()], _: ServiceCaller, container: CurrentContainer
) -> LegalHoldsResponse:
    """Return the holds that are in force, or that were released, newest first."""
    return await container.persistence.list_legal_holds(query)


@router.post("", status_code=201)
async def place_legal_hold(
    body: PlaceLegalHoldRequest, _: ServiceCaller, container: CurrentContainer
) -> LegalHoldResponse:
    """Keep a conversation, or all of a user's, from being removed."""
    return LegalHoldResponse(hold=await container.persistence.place_legal_hold(body))


@router.delete("/{hold_id}")
async def release_legal_hold(
    hold_id: PlainUuid, _: ServiceCaller, container: CurrentContainer
) -> LegalHoldResponse:
    """Release a hold. Its row stays and says when; repeating this changes nothing."""
    return LegalHoldResponse(hold=await container.persistence.release_legal_hold(hold_id))
