"""Live events that no committed row carries: topics, names, and sends that never fail a turn."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import httpx

    from shared.config import Settings

log = structlog.get_logger(__name__)

Status: TypeAlias = Literal["thinking", "generating", "saving"]
Event: TypeAlias = dict[str, Any]

GATHER_SECONDS = 0.1
MAX_DELTA = 16_384  # characters of one event; Realtime carries 256 kB on the smallest plan
QUIET_SECONDS = 5.0  # after a failed send, how long none is tried


def conversation_topic(conversation_id: UUID) -> str:
    """Return the private topic of a conversation."""
    return f"conversation:{conversation_id}"


class Broadcaster:
    """Sends batches of private events over Realtime's HTTP endpoint, best effort.

    A send takes at most `timeout` seconds and never raises. After a failure the process keeps
    quiet for a while, so that a dead Realtime costs one timeout now and then, not one a turn.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        key = settings.secret_key.get_secret_value()
        self.timeout = settings.realtime_timeout
        self._http = http
        self._url = f"{settings.supabase_url}/realtime/v1/api/broadcast"
        self._headers = {"apikey": key}
        if not key.startswith("sb_"):  # an older project's key is a token as well
            self._headers["Authorization"] = f"Bearer {key}"
        self._clock = clock
        self._quiet_until = 0.0

    async def send(self, events: list[Event]) -> None:
        """Send these events in order, or drop them."""
        if self._clock() < self._quiet_until:
            return
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self._http.post(
                    self._url, json={"messages": events}, headers=self._headers
                )
            answer.raise_for_status()
        except asyncio.CancelledError as exc:  # the turn waited as long as it may
            self._fall_silent(exc, events)
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it was, the turn goes on without it
            self._fall_silent(exc, events)

    def _fall_silent(self, reason: BaseException, dropped: list[Event]) -> None:
        self._quiet_until = self._clock() + QUIET_SECONDS
        log.warning("broadcast_failed", error=type(reason).__name__, events=len(dropped))


class LiveTurn:
    """The passing events of one turn, in order: `announce` never waits, `flush` waits a little.

    Events gather for a moment before they are sent, so a quick turn sends all of them at once.
    """

    def __init__(self, broadcaster: Broadcaster, *, conversation_id: UUID, turn_id: UUID) -> None:
        self._broadcaster = broadcaster
        self._topic = conversation_topic(conversation_id)
        self._turn_id = str(turn_id)
        self._pending: list[Event] = []
        self._sending: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def announce(self, status: Status) -> None:
        """Tell the topic what the turn is doing."""
        self._queue("status", {"turnId": self._turn_id, "status": status})

    def _queue(self, event: str, payload: dict[str, Any]) -> None:
        self._pending.append(
            {"topic": self._topic, "event": event, "payload": payload, "private": True}
        )
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._drain())

    def write(self, offset: int, text: str) -> None:
        """Tell the topic of more text, at this offset (in characters) of the draft."""
        last = self._pending[-1] if self._pending else None
        if last and last["event"] == "delta" and len(last["payload"]["text"]) < MAX_DELTA:
            last["payload"]["text"] += text
        else:
            self._queue("delta", {"turnId": self._turn_id, "offset": offset, "text": text})

    async def flush(self) -> None:
        """Wait until what was announced is on its way, at most the broadcaster's timeout.

        Done before the reply is committed, so that no passing event arrives behind the last one.
        """
        self._hurry.set()
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=self._broadcaster.timeout)
            self._sending.cancel()

    async def _drain(self) -> None:
        while self._pending:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), GATHER_SECONDS)
            events, self._pending = self._pending, []
            await self._broadcaster.send(events)
