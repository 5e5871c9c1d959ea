"""SQL functions about upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.models.integrity import InvariantReport, RepairReport
from shared.persistence.calls import Calls

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

SCHEMA_VERSION = "20261127000001"  # of the newest migration


class IntegrityCalls(Calls):
    """What the service asks of the store about itself."""

    async def check_invariants(
        self, *, grace_seconds: int, since: datetime | None = None
    ) -> InvariantReport:
        """Count what is broken: everywhere, or cheaply in what was written to `since` then."""
        return await self._call(
            InvariantReport, "check_invariants", grace_seconds=grace_seconds, since=since
        )

    async def repair_invariants(self, user_id: UUID, *, grace_seconds: int) -> RepairReport:
        """Mend what check_invariants finds of one user; never deletes a message."""
        return await self._call(
            RepairReport, "repair_invariants", user_id=user_id, grace_seconds=grace_seconds
        )

    async def ping(self) -> str:
        """Ask the store for nothing but the version of its schema."""
        answer: dict[str, str] = await self._store.call("ping", {}, caller=None)
        return answer["version"]
