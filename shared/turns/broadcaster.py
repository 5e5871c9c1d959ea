"""Sends live events over Realtime's HTTP endpoint, best effort: a failure never fails a turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

if TYPE_CHECKING:
    import httpx

    from shared.config import Settings

log = structlog.get_logger(__name__)

Event: TypeAlias = dict[str, Any]

SILENT_SECONDS = 5.0  # after a failed send, how long none is tried


class Broadcaster:
    """Sends batches of events; each takes at most `timeout` seconds.

    After a failure the process is silent for a while, so that a dead Realtime costs one timeout
    now and then, not one a turn.
    """

    def __init__(self, http: httpx.AsyncClient, settings: Settings) -> None:
        key = settings.secret_key.get_secret_value()
        self.timeout = settings.realtime_timeout
        self._http = http
        self._url = f"{settings.supabase_url}/realtime/v1/api/broadcast"
        self._headers = {"apikey": key}
        if not key.startswith("sb_"):  # an older project's key is a token as well
            self._headers["Authorization"] = f"Bearer {key}"
        self._silent_until = 0.0
        self._under_way: asyncio.Timeout | None = None

    async def send(self, events: list[Event]) -> None:
        """Send these events in order, or drop them. Never raises."""
        clock = asyncio.get_running_loop().time
        if clock() < self._silent_until:
            return
        try:
            async with asyncio.timeout(self.timeout) as self._under_way:
                response = await self._http.post(
                    self._url, json={"messages": events}, headers=self._headers
                )
            response.raise_for_status()
        except Exception as exc:  # noqa: BLE001 - whatever it was, the turn goes on without it
            self._silent_until = clock() + SILENT_SECONDS
            log.warning("broadcast_failed", error=type(exc).__name__)
        finally:
            self._under_way = None

    def give_up(self) -> None:
        """Drop the batch that is under way, as one that failed: somebody has waited enough."""
        if self._under_way is not None and not self._under_way.expired():
            self._under_way.reschedule(asyncio.get_running_loop().time())
