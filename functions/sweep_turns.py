"""Settles turns without a worker, discards what imports have left, takes the search index on."""

from shared.conversations.indexing import sweep_search_index
from shared.http.dependencies import CurrentContainer, ServiceCaller
from shared.http.routing import EndpointRouter
from shared.imports.sweep import sweep_imports
from shared.models.turns import SweepTurnsResponse
from shared.turns.sweep import sweep_turns as sweep

router = EndpointRouter("sweep-turns")


@router.post("")
async def sweep_turns(_: ServiceCaller, container: CurrentContainer) -> SweepTurnsResponse:
    """Settle every turn whose lease is over. For the service key alone, if there is no pg_cron."""
    settled = await sweep(container.persistence)
    await sweep_imports(container.persistence)
    await sweep_search_index(container.persistence)
    return SweepTurnsResponse(settled=settled)
