"""The SQL function that keeps what limits every API."""

from __future__ import annotations

from pydantic import BaseModel

from .calls import Calls


class Limits(BaseModel):
    """What set_limits answers."""

    bytes_per_day: int | None


class LimitCalls(Calls):
    """What holds for each user over the Data API, too."""

    async def set_limits(self, *, bytes_per_day: int) -> Limits:
        """Let each user write so many bytes in a day; 0 is any number."""
        return await self._call_with_retries(Limits, "set_limits", bytes_per_day=bytes_per_day)
