"""Does what pg_cron does elsewhere: settles turns without a worker, ends what others began."""

from shared.conversations.indexing import sweep_search_index
from shared.conversations.removal import sweep_removals
from shared.http.dependencies import CurrentContainer, ServiceCaller
from shared.http.routing import EndpointRouter
from shared.models.turns import SweepTurnsResponse
from shared.turns.sweep import sweep_turns as sweep

router = EndpointRouter("sweep-turns")


@router.post("")
async def sweep_turns(_: ServiceCaller, container: CurrentContainer) -> SweepTurnsResponse:
    """Settle every turn whose lease is over, and end what was begun. For the service key alone."""
    settled = await sweep(container.persistence)
    await sweep_removals(container.persistence)
    await sweep_search_index(container.persistence)
    return SweepTurnsResponse(settled=settled)
