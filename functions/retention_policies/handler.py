"""How long conversations are kept: of a user, of a project, of everybody. For the service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.http.routing import BEARER, CheckedRoute, CurrentContainer, ServiceCaller
from shared.models.base import PlainUuid
from shared.models.conversations import DeletedResponse
from shared.models.retention import (
    ListRetentionPoliciesRequest,
    RetentionPoliciesResponse,
    RetentionPolicyResponse,
    SetRetentionPolicyRequest,
)

router = APIRouter(
    prefix="/retention-policies",
    route_class=CheckedRoute,
    dependencies=[Depends(BEARER)],
    tags=["retention-policies"],
)


@router.get("")
async def list_retention_policies(
    query: Annotated[ListRetentionPoliciesRequest, Query()],
    _: ServiceCaller,
    container: CurrentContainer,
) -> RetentionPoliciesResponse:
    """Return the policies, oldest first."""
    return await container.persistence.list_retention_policies(query)


@router.put("")
async def set_retention_policy(
    body: SetRetentionPolicyRequest, _: ServiceCaller, container: CurrentContainer
) -> RetentionPolicyResponse:
    """Set a policy, in the place of the one that its scope had."""
    return RetentionPolicyResponse(policy=await container.persistence.set_retention_policy(body))


@router.delete("/{policy_id}")
async def delete_retention_policy(
    policy_id: PlainUuid, _: ServiceCaller, container: CurrentContainer
) -> DeletedResponse:
    """Remove a policy: a wider one applies from then on, or none."""
    await container.persistence.delete_retention_policy(policy_id)
    return DeletedResponse(deleted=policy_id)
