"""Reads from a copy of the store that follows it and may be behind."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from ..errors import AppError, StoreUnavailableError
from .roads import create_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..auth.caller import Caller
    from ..config import Settings
    from .roads import Road

REPLICA_SECONDS: Final = 1.0  # then the store itself is asked, in what is left of the call's time
REST_SECONDS: Final = 5.0  # for which a replica that is away is not asked


class Replica:
    """Answers what it has; whatever it lacks, refuses or fails at is the store's to answer."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._rests_until = 0.0

    async def call(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        caller: Caller | None,
        is_enough: Callable[[dict[str, Any]], bool],
    ) -> dict[str, Any] | None:
        """Return its answer if that is enough; None if the store must be asked."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(REPLICA_SECONDS):
                answer = await self._road.call(function, arguments, caller=caller)
        except (StoreUnavailableError, TimeoutError):
            self._rests_until = time.monotonic() + REST_SECONDS
            return None
        except AppError:  # such as a conversation that it doesn't have yet
            return None
        return answer if isinstance(answer, dict) and is_enough(answer) else None

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._road.aclose()


def create_replica(settings: Settings) -> Replica | None:
    """Return the replica that the settings name, if they do.

    Raises ConfigurationError if the driver of Postgres is missing.
    """
    url = settings.supabase_db_read_url
    return Replica(create_postgres(url, settings)) if url else None


def anything(_: dict[str, Any]) -> bool:
    """Take any answer: it is of a moment ago, where the replica is behind."""
    return True


def has_seq(seq: int) -> Callable[[dict[str, Any]], bool]:
    """Take the answer of a replica that has the conversation up to this place."""
    return lambda answer: bool(answer["conversation"]["last_seq"] >= seq)
