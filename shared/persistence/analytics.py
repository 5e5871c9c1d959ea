"""SQL functions about what turns came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.analytics import (
    ConversationAnalyticsRequest,
    ConversationAnalyticsResponse,
    ProjectUsageRequest,
    ProjectUsageResponse,
)
from .calls import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ..auth.caller import Caller
    from ..config.types import ModelPrice


class AnalyticsCalls(Calls):
    """Figures of a user's turns, and of everybody's."""

    async def conversation_analytics(
        self,
        user_id: UUID,
        request: ConversationAnalyticsRequest,
        *,
        caller: Caller,
        prices: Mapping[str, ModelPrice],
    ) -> ConversationAnalyticsResponse:
        """Count a user's turns in a range, in all and for each bucket."""
        return await self._call_with_retries(
            ConversationAnalyticsResponse,
            "conversation_analytics",
            caller,
            user_id=user_id,
            starts_at=request.starts_at,
            ends_at=request.ends_at,
            bounds=[bound.isoformat() for bound in request.bounds()],
            project_id=request.project_id,
            prices=_plain(prices),
        )

    async def project_usage(
        self, request: ProjectUsageRequest, *, prices: Mapping[str, ModelPrice]
    ) -> ProjectUsageResponse:
        """List users with what their turns came to and what is stored of each."""
        return await self._call_with_retries(
            ProjectUsageResponse,
            "project_usage",
            starts_at=request.starts_at,
            ends_at=request.ends_at,
            after_user_id=request.after,
            most=request.limit,
            prices=_plain(prices),
        )


def _plain(prices: Mapping[str, ModelPrice]) -> dict[str, Any]:
    return {name: price.model_dump() for name, price in prices.items()}
