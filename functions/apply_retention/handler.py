"""Archives and deletes what lies idle, where no pg_cron does it."""

from fastapi import APIRouter, Depends

from shared.conversations import retention
from shared.http.routing import BEARER, CheckedRoute, CurrentContainer, ServiceCaller
from shared.models.retention import ApplyRetentionRequest, ApplyRetentionResponse

router = APIRouter(
    route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["apply-retention"]
)


@router.post("/apply-retention")
async def apply_retention(
    body: ApplyRetentionRequest, _: ServiceCaller, container: CurrentContainer
) -> ApplyRetentionResponse:
    """Archive and delete what the policies say; on a dry run, only count it."""
    return await retention.apply_retention(await container.remover(), body)
