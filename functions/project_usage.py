"""What everybody's turns came to and what is stored of each user, for whoever runs the project."""

from shared.http.dependencies import CurrentContainer, ServiceCaller
from shared.http.routing import EndpointRouter
from shared.models.analytics import ProjectUsageRequest, ProjectUsageResponse

router = EndpointRouter("project-usage")


@router.api_route("", methods=["GET", "POST"])
async def project_usage(
    request: ProjectUsageRequest, _: ServiceCaller, container: CurrentContainer
) -> ProjectUsageResponse:
    """Return a page of users with what each used; `after` the last one comes the next page."""
    return await container.persistence.project_usage(
        request, prices=container.settings.model_prices
    )
