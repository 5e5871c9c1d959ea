"""Settles turns whose worker is gone, where no pg_cron does it."""

from fastapi import APIRouter, Depends

from shared.http.routing import BEARER, CheckedRoute, ServiceOf, ServicesOf
from shared.models.turns import SweepAnswer

router = APIRouter(route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["sweep-turns"])


@router.post("/sweep-turns")
async def sweep_turns(_: ServiceOf, services: ServicesOf) -> SweepAnswer:
    """Settle every turn whose lease is over. For the service key alone."""
    swept = await services.persistence.sweep_turns()
    return SweepAnswer(settled=swept.settled)
