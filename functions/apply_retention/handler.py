"""Archives and deletes what lies idle, where no pg_cron does it."""

from fastapi import APIRouter, Depends

from shared.http.routing import BEARER, CheckedRoute, ServiceOf, ServicesOf
from shared.models.retention import ApplyRetentionAnswer, ApplyRetentionRequest

router = APIRouter(
    route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["apply-retention"]
)


@router.post("/apply-retention")
async def apply_retention(
    body: ApplyRetentionRequest, _: ServiceOf, services: ServicesOf
) -> ApplyRetentionAnswer:
    """Archive and delete what the policies say; on a dry run, only count it."""
    persistence = await services.remover()
    return await persistence.apply_retention(body)
