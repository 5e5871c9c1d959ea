"""Archives and deletes what lies idle, where no pg_cron does it."""

from shared.conversations import retention
from shared.http.dependencies import CurrentContainer, ServiceCaller
from shared.http.routing import EndpointRouter
from shared.models.retention import ApplyRetentionRequest, ApplyRetentionResponse

router = EndpointRouter("apply-retention")


@router.post("")
async def apply_retention(
    request: ApplyRetentionRequest, _: ServiceCaller, container: CurrentContainer
) -> ApplyRetentionResponse:
    """Archive and delete what the policies say; on a dry run, only count it."""
    return await retention.apply_retention(container.persistence, request)
