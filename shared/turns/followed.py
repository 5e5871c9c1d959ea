"""Turns that another process runs: each is read once for all who wait for it or follow it here."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from .draft import merged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.turns import TurnRecord
    from ..persistence import Persistence

POLL_SECONDS: Final = 0.25


class FollowedTurn:
    """A turn as it was last read, with its draft. Only what is new is read, until it is settled."""

    def __init__(self, store: Persistence, record: TurnRecord) -> None:
        self.record = record
        self._store = store
        self._readers = 0
        self._settling: TurnRecord | None = None
        self._failure: Exception | None = None
        self._read_again = asyncio.Event()
        self._reading = asyncio.create_task(self._keep_reading())

    @property
    def has_failed(self) -> bool:
        """Whether nothing reads it any more."""
        return self._failure is not None

    def enter(self) -> None:
        """Read for one more."""
        self._readers += 1

    def leave(self) -> bool:
        """Read for one less; return whether that was the last one."""
        self._readers -= 1
        if not self._readers:
            self._reading.cancel()
        return not self._readers

    async def next_reading(self) -> TurnRecord:
        """Wait for the next reading and return it; raise what kept the turn from being read."""
        if self.record.reply is None and self._failure is None:
            await self._read_again.wait()
        if self._failure is not None:
            raise self._failure
        return self.record

    async def settle(self) -> None:
        """Settle it as a turn without a worker: once, for all who saw that it is."""
        if self._settling is not self.record:
            self._settling = self.record
            await self._store.settle_expired_turn(
                self.record.turn.user_id, self.record.conversation.id
            )

    async def _keep_reading(self) -> None:
        try:
            while self.record.reply is None:
                await asyncio.sleep(POLL_SECONDS)
                self.record = await self._news()
                self._notify()
        except Exception as exc:  # noqa: BLE001 - raised by each who waits for a reading
            self._failure = exc
            self._notify()

    def _notify(self) -> None:
        happened, self._read_again = self._read_again, asyncio.Event()
        happened.set()

    async def _news(self) -> TurnRecord:
        seen, turn = self.record, self.record.turn
        news = await self._store.follow_turn(
            turn.user_id,
            turn.id,
            attempt=turn.attempt,
            draft_offset=len(seen.draft),
            parts_version=max((entry.version for entry in seen.draft_parts), default=0),
        )
        if news.status != "running":
            return await self._store.load_turn(turn.user_id, turn.id, caller=None)
        is_same = news.attempt == turn.attempt
        row = {"attempt": news.attempt, "lease_expires_at": news.lease_expires_at}
        return seen.model_copy(
            update={
                "turn": turn.model_copy(update=row),
                "draft": (seen.draft if is_same else "") + news.draft_tail,
                "draft_parts": merged(seen.draft_parts if is_same else [], news.draft_parts),
                "is_expired": news.is_expired,
            }
        )


class FollowedTurns:
    """The turns that are followed in this process and run in others."""

    def __init__(self, store: Persistence) -> None:
        self._store = store
        self._followed: dict[UUID, FollowedTurn] = {}
        self._loading: dict[tuple[UUID, UUID], asyncio.Task[TurnRecord]] = {}

    async def load(self, user_id: UUID, turn_id: UUID, *, caller: Caller) -> TurnRecord:
        """Return a turn of this verified user: as it is followed already, or read once for all.

        Raises TurnNotFoundError if the user has none such.
        """
        followed = self._followed.get(turn_id)
        if followed is not None and followed.record.turn.user_id == user_id:
            return followed.record
        key = (user_id, turn_id)
        loading = self._loading.get(key)
        if loading is None:
            load = self._store.load_turn(user_id, turn_id, caller=caller)
            loading = self._loading[key] = asyncio.create_task(load)
            loading.add_done_callback(lambda task: self._loaded(key, task))
        return await asyncio.shield(loading)

    @asynccontextmanager
    async def following(self, record: TurnRecord) -> AsyncIterator[FollowedTurn]:
        """Give the turn of this record, which is read for as long as somebody follows it."""
        turn = self._followed.get(record.turn.id)
        if turn is None or turn.has_failed:
            turn = self._followed[record.turn.id] = FollowedTurn(self._store, record)
        turn.enter()
        try:
            yield turn
        finally:
            if turn.leave() and self._followed.get(record.turn.id) is turn:
                del self._followed[record.turn.id]

    def _loaded(self, key: tuple[UUID, UUID], task: asyncio.Task[TurnRecord]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()  # seen: whoever asked may be gone
