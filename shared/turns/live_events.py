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
EVENTS_PER_SECOND = 100  # of one process: what the smallest plan carries
MOST_TURNS = 100  # that share one request
MAX_DELTA = 16_384  # characters of one event; Realtime carries 256 kB on the smallest plan
QUIET_SECONDS = 5.0  # after a failed send, how long none is tried


def conversation_topic(conversation_id: UUID) -> str:
    """Return the private topic of a conversation."""
    return f"conversation:{conversation_id}"


class Broadcaster:
    """Sends private events over Realtime's HTTP endpoint, best effort.

    Events of all the turns that run here gather for a moment and go out in one request at a
    time, at no more than Realtime's rate: with many turns each one's text comes in larger pieces.

    A request takes at most `timeout` seconds. After a failure the process keeps quiet for a
    while, so that a dead Realtime costs one timeout now and then, not one a turn.
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
        self._paced_until = 0.0
        self._waiting: dict[LiveTurn, None] = {}
        self._in_hurry = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    def enlist(self, live: LiveTurn) -> None:
        """Send what this turn has to tell, when it is its turn."""
        self._waiting[live] = None
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    def hurry(self) -> None:
        """Send what waits without gathering more."""
        self._in_hurry.set()

    def give_up(self) -> None:
        """Drop what is under way: somebody has waited for it as long as may be."""
        if self._sending is not None:
            self._sending.cancel()
            self._fall_silent(TimeoutError())
            self._sending = asyncio.create_task(self._send_all())

    async def send(self, events: list[Event]) -> None:
        """Send these events in order, or drop them. Never raises."""
        if self._clock() < self._quiet_until:
            return
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self._http.post(
                    self._url, json={"messages": events}, headers=self._headers
                )
            answer.raise_for_status()
        except Exception as exc:  # noqa: BLE001 - whatever it was, the turn goes on without it
            self._fall_silent(exc)

    def _fall_silent(self, reason: Exception) -> None:
        self._quiet_until = self._clock() + QUIET_SECONDS
        log.warning("broadcast_failed", error=type(reason).__name__)

    async def _send_all(self) -> None:
        while self._waiting:
            pause = max(GATHER_SECONDS, self._paced_until - self._clock())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._in_hurry.wait(), pause)
            self._in_hurry.clear()
            turns = self._next_turns()
            events = [event for live in turns for event in live.take()]
            try:
                if events:
                    await self.send(events)
            finally:
                for live in turns:
                    live.told()
            self._paced_until = self._clock() + len(events) / EVENTS_PER_SECOND

    def _next_turns(self) -> list[LiveTurn]:
        """Take turns off the list, those in a hurry first."""
        turns = sorted(self._waiting, key=lambda live: not live.is_in_hurry)[:MOST_TURNS]
        for live in turns:
            del self._waiting[live]
        if any(live.is_in_hurry for live in self._waiting):
            self._in_hurry.set()
        return turns


class LiveTurn:
    """The passing events of one turn, in order: `announce` never waits, `flush` waits a little."""

    def __init__(
        self, broadcaster: Broadcaster, *, conversation_id: UUID, turn_id: UUID, attempt: int
    ) -> None:
        self.is_in_hurry = False
        self._broadcaster = broadcaster
        self._topic = conversation_topic(conversation_id)
        self.attempt = attempt
        self._turn: dict[str, Any] = {"turnId": str(turn_id), "attempt": attempt}
        self._pending: list[Event] = []
        self._all_told = asyncio.Event()
        self._all_told.set()

    def announce(self, status: Status) -> None:
        """Tell the topic what the turn is doing."""
        self._queue("status", {**self._turn, "status": status})

    def write(self, offset: int, text: str) -> None:
        """Tell the topic of more text, at this offset (in characters) of the draft."""
        last = self._pending[-1] if self._pending else None
        if last and last["event"] == "delta":
            room = MAX_DELTA - len(last["payload"]["text"])
            last["payload"]["text"] += text[:room]
            offset, text = offset + room, text[room:]
        for start in range(0, len(text), MAX_DELTA):
            piece = text[start : start + MAX_DELTA]
            self._queue("delta", {**self._turn, "offset": offset + start, "text": piece})

    def go_on_as(self, attempt: int, text: str) -> None:
        """Tell under a later attempt what there is of the draft: its listeners have none of it."""
        self._pending.clear()
        self.attempt = attempt
        self._turn["attempt"] = attempt
        self.write(0, text)

    async def flush(self) -> None:
        """Wait until what was announced is on its way, at most the broadcaster's timeout.

        Done before the reply is committed, so that no passing event arrives behind the last one.
        """
        self.is_in_hurry = True
        self._broadcaster.hurry()
        try:
            await asyncio.wait_for(self._all_told.wait(), self._broadcaster.timeout)
        except TimeoutError:
            self.close()
            self._broadcaster.give_up()

    def close(self) -> None:
        """Forget what was not told."""
        self._pending.clear()

    def take(self) -> list[Event]:
        """Return what waits, for the broadcaster to send."""
        events, self._pending = self._pending, []
        return events

    def told(self) -> None:
        """Hear that what was taken is sent, or lost."""
        if not self._pending:
            self._all_told.set()

    def _queue(self, event: str, payload: dict[str, Any]) -> None:
        self._pending.append(
            {"topic": self._topic, "event": event, "payload": payload, "private": True}
        )
        self._all_told.clear()
        self._broadcaster.enlist(self)
