"""The SQL function that keeps what limits every API."""

from __future__ import annotations

from pydantic import BaseModel

from .calls import Calls, repeated


class Limits(BaseModel):
    """What set_limits answers."""

    bytes_per_day: int | None


class LimitCalls(Calls):
    """What holds for each user over the Data API, too."""

    @repeated(Limits)
    async def set_limits(self, *, bytes_per_day: int) -> Limits:
        """Let each user write so many bytes in a day; 0 is any number."""
