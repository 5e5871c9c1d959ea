"""Sends live events over Realtime's HTTP endpoint, best effort: a failure never fails a turn."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import structlog

if TYPE_CHECKING:
    import httpx

    from ..config import Settings

log = structlog.get_logger(__name__)

Event: TypeAlias = dict[str, Any]
Outcome: TypeAlias = Literal["sent", "lost", "later"]

SILENT_SECONDS = 5.0  # after a failed send, how long none is tried
TOO_MANY = 429


class Broadcaster:
    """Sends batches of events; each takes at most `timeout` seconds.

    After a failure the process is silent for a while, so that a dead Realtime costs one timeout
    now and then, not one a turn. After a refusal for the project's limit it is silent for longer,
    and not as long as other processes: the limit is a mean, which takes its time to fall.
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

    @property
    def is_silent(self) -> bool:
        """Whether nothing is sent now."""
        return asyncio.get_running_loop().time() < self._silent_until

    async def send(self, events: list[Event]) -> Outcome:
        """Send these events in order, or not at all; say whether to send them later. Never raises.

        Events that may have arrived are not to be sent again: not every client drops what it has.
        """
        if self.is_silent:
            return "later"
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._http.post(
                    self._url, json={"messages": events}, headers=self._headers
                )
            if response.status_code == TOO_MANY:
                self._be_silent(SILENT_SECONDS * random.uniform(1, 3), "too_many_requests")  # noqa: S311
                return "later"
            response.raise_for_status()
        except Exception as exc:  # noqa: BLE001 - whatever it was, the turn goes on without it
            self._be_silent(SILENT_SECONDS, type(exc).__name__)
            return "lost"
        return "sent"

    def _be_silent(self, seconds: float, reason: str) -> None:
        self._silent_until = asyncio.get_running_loop().time() + seconds
        log.warning("broadcast_failed", error=reason)
