"""How long conversations are kept: of a user, of a project, of everybody. For the service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.http.routing import BEARER, CheckedRoute, ServiceOf, ServicesOf
from shared.models.base import PlainUuid
from shared.models.conversations import DeletedAnswer
from shared.models.retention import (
    ListRetentionPoliciesRequest,
    RetentionPoliciesAnswer,
    RetentionPolicyAnswer,
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
    query: Annotated[ListRetentionPoliciesRequest, Query()], _: ServiceOf, services: ServicesOf
) -> RetentionPoliciesAnswer:
    """Return the policies, oldest first."""
    return await services.persistence.list_retention_policies(query)


@router.put("")
async def set_retention_policy(
    body: SetRetentionPolicyRequest, _: ServiceOf, services: ServicesOf
) -> RetentionPolicyAnswer:
    """Set a policy, in the place of the one that its scope had."""
    return RetentionPolicyAnswer(policy=await services.persistence.set_retention_policy(body))


@router.delete("/{policy_id}")
async def delete_retention_policy(
    policy_id: PlainUuid, _: ServiceOf, services: ServicesOf
) -> DeletedAnswer:
    """Remove a policy: a wider one applies from then on, or none."""
    await services.persistence.delete_retention_policy(policy_id)
    return DeletedAnswer(deleted=policy_id)
