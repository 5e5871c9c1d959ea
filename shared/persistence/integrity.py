"""SQL functions about upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ..models.integrity import InvariantStep, PlatformReport, RepairReport
from .calls import Calls, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from ..models.integrity import BrokenRow

SCHEMA_VERSION = "20261127000001"  # of the newest migration


class Limits(BaseModel):
    """What set_limits answers."""

    bytes_per_day: int | None


class IntegrityCalls(Calls):
    """What the service asks of the store about itself."""

    @repeated(InvariantStep)
    async def check_invariants(
        self,
        *,
        grace_seconds: int,
        since: datetime | None = None,
        after: dict[str, Any] | None = None,
    ) -> InvariantStep:
        """Take a step of a check of everything, or look cheaply at what was written `since`."""

    async def repair_invariants(self, user_id: UUID, broken: Sequence[BrokenRow]) -> RepairReport:
        """Mend what check_invariants found of one user; never deletes a message."""
        return await self._call(
            RepairReport,
            "repair_invariants",
            user_id=user_id,
            broken=[row.model_dump(mode="json", include={"name", "id"}) for row in broken],
        )

    @repeated(PlatformReport)
    async def check_platform(self) -> PlatformReport:
        """Ask what of the schema the platform has refused."""

    @repeated(Limits)
    async def set_limits(self, *, bytes_per_day: int) -> Limits:
        """Let each user write so many bytes in a day, over every API; 0 is any number."""

    async def ping(self) -> str:
        """Ask the store for nothing but the version of its schema."""
        answer: dict[str, str] = await self._store.call("ping", {}, caller=None)
        return answer["version"]
