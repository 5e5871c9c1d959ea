"""Settles turns whose worker is gone, where no pg_cron does it."""

from fastapi import APIRouter, Depends

from shared.http.routing import BEARER, CheckedRoute, CurrentContainer, ServiceCaller
from shared.models.turns import SweepTurnsResponse
from shared.turns.sweep import sweep_turns as sweep

router = APIRouter(route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["sweep-turns"])


@router.post("/sweep-turns")
async def sweep_turns(_: ServiceCaller, container: CurrentContainer) -> SweepTurnsResponse:
    """Settle every turn whose lease is over. For the service key alone."""
    return SweepTurnsResponse(settled=await sweep(container.persistence))
