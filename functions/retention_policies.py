"""How long conversations are kept: of a user, of a project, of everyone. For the service."""

from shared.errors import RetentionPolicyNotFoundError, UserNotFoundError
from shared.http.dependencies import CurrentContainer, ServiceCaller
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.base import PlainUuid
from shared.models.conversations import DeletedResponse
from shared.models.retention import (
    ListRetentionPoliciesRequest,
    RetentionPoliciesResponse,
    RetentionPolicyResponse,
    SetRetentionPolicyRequest,
)

router = EndpointRouter("retention-policies")


@router.get("")
async def list_retention_policies(
    request: ListRetentionPoliciesRequest,
    _: ServiceCaller,
    container: CurrentContainer,
) -> RetentionPoliciesResponse:
    """Return the policies, oldest first."""
    return await container.persistence.list_retention_policies(request)


@router.put("", responses=error_responses(UserNotFoundError))
async def set_retention_policy(
    request: SetRetentionPolicyRequest, _: ServiceCaller, container: CurrentContainer
) -> RetentionPolicyResponse:
    """Set a policy, in the place of the one that its scope had."""
    return RetentionPolicyResponse(policy=await container.persistence.set_retention_policy(request))


@router.delete("/{policy_id}", responses=error_responses(RetentionPolicyNotFoundError))
async def delete_retention_policy(
    policy_id: PlainUuid, _: ServiceCaller, container: CurrentContainer
) -> DeletedResponse:
    """Remove a policy: a wider one applies from then on, or none."""
    await container.persistence.delete_retention_policy(policy_id)
    return DeletedResponse(deleted=policy_id)
