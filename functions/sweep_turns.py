"""Does what pg_cron does elsewhere: settles turns without a worker, ends what others began."""

from shared.conversations import sweeps
from shared.http.dependencies import CurrentContainer, ServiceCaller
from shared.http.routing import EndpointRouter
from shared.models.turns import SweepTurnsResponse

router = EndpointRouter("sweep-turns")


@router.post("")
async def sweep_turns(_: ServiceCaller, container: CurrentContainer) -> SweepTurnsResponse:
    """Settle every turn whose lease is over, and end what was begun. For the service key alone."""
    settled = await sweeps.sweep_turns(container.persistence)
    await sweeps.sweep_removals(container.persistence)
    await sweeps.sweep_search_index(container.persistence)
    return SweepTurnsResponse(settled=settled)
