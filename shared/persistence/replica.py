"""Reads from a copy of the store that follows it and may be behind."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from ..errors import AppError, StoreUnavailableError
from .roads import create_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..auth.caller import Caller
    from ..config import Settings
    from .roads import Road

log = structlog.get_logger(__name__)

REPLICA_SECONDS: Final = 1.0  # then the store itself is asked, in what is left of the call's time
REST_SECONDS: Final = 5.0  # for which a replica that is away, or behind, is not asked
FOLLOWING_SECONDS: Final = 5.0  # between two looks at whether it follows
STORE_SECONDS: Final = 0.5  # of such a look, for the store


class Replica:
    """Answers what it has; whatever it lacks, refuses or fails at is the store's to answer."""

    def __init__(self, road: Road, store: Road) -> None:
        self._road = road
        self._store = store
        self._rests_until = 0.0
        self._looked_at = -math.inf
        self._position = 0  # of the store's log, when it was last asked

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
                if await self._is_behind():
                    self._rests_until = time.monotonic() + REST_SECONDS
                    return None
                answer = await self._road.call(function, arguments, caller=caller)
        except (StoreUnavailableError, TimeoutError):
            self._rests_until = time.monotonic() + REST_SECONDS
            return None
        except AppError:  # such as a conversation that it doesn't have yet
            return None
        return answer if isinstance(answer, dict) and is_enough(answer) else None

    async def _is_behind(self) -> bool:
        """Whether it lacks what the store had a moment ago: what was erased since, it still has.

        What the store had at the look before this one, or has now where that is too long ago.
        """
        now = time.monotonic()
        elapsed, before = now - self._looked_at, self._position
        if elapsed < FOLLOWING_SECONDS:
            return False
        self._looked_at = now
        with suppress(AppError, TimeoutError):  # one that is away says nothing about its replica
            async with asyncio.timeout(STORE_SECONDS):
                self._position = await _position_of(self._store) or 0
        known = before if elapsed < 2 * FOLLOWING_SECONDS else self._position
        missing = known - (await _position_of(self._road) or known)
        if missing > 0:
            log.warning("replica_behind", bytes=missing)
        return missing > 0

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._road.aclose()


async def _position_of(road: Road) -> int | None:
    """Return how far a server's log is, written or replayed; None where it doesn't know."""
    answer = await road.call("ping", {}, caller=None)
    position: int | None = answer.get("position")
    return position


def create_replica(settings: Settings, store: Road) -> Replica | None:
    """Return the replica of the store at this road's end that the settings name, if they do.

    Raises ConfigurationError if the driver of Postgres is missing.
    """
    url = settings.supabase_db_read_url
    return Replica(create_postgres(url, settings), store) if url else None


def anything(_: dict[str, Any]) -> bool:
    """Take any answer: it is of a moment ago, where the replica is behind."""
    return True


def has_seq(seq: int) -> Callable[[dict[str, Any]], bool]:
    """Take the answer of a replica that has the conversation up to this place."""
    return lambda answer: bool(answer["conversation"]["last_seq"] >= seq)
