"""Settles turns whose worker is gone, where no pg_cron does it."""

from shared.http.dependencies import CurrentContainer, ServiceCaller
from shared.http.routing import EndpointRouter
from shared.models.turns import SweepTurnsResponse

router = EndpointRouter("sweep-turns")


@router.post("")
async def sweep_turns(_: ServiceCaller, container: CurrentContainer) -> SweepTurnsResponse:
    """Settle every turn whose lease is over. For the service key alone."""
    swept = await container.persistence.sweep_turns()
    return SweepTurnsResponse(settled=swept.settled)
