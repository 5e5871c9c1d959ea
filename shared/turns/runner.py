"""One turn from request to response: begun, worked on, and its end waited for or followed.

The heart. It knows the order of things; how turns are begun, worked, stored or followed is
elsewhere.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import ReplyNotStoredError
from .begin import Begun
from .follow import (
    START,
    follow_running,
    follow_settled,
    follow_stored,
)
from .followed import FollowedTurn, FollowedTurns
from .request import known_request
from .response import stored_response, unstored_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from ..auth.caller import Caller
    from ..config import Settings
    from ..models.rows import TurnRow
    from ..models.turns import MegaMindResponse, TurnRecord
    from ..persistence import Persistence
    from .begin import TurnStarter
    from .follow import Place, TurnEvent
    from .outside import OutsideTurns
    from .registry import TurnRegistry
    from .request import TurnRequest
    from .running_turn import RunningTurn
    from .unstored import UnstoredRuns


class TurnRunner:
    """Runs turns: two round trips to the store each, one before the AI and one after."""

    def __init__(
        self,
        store: Persistence,
        registry: TurnRegistry,
        starter: TurnStarter,
        unstored: UnstoredRuns,
        outside: OutsideTurns,
        settings: Settings,
    ) -> None:
        self.registry = registry
        self.unstored = unstored
        self.outside = outside
        self._store = store
        self._starter = starter
        self._settings = settings
        self._elsewhere = FollowedTurns(store)

    async def run(self, request: TurnRequest) -> MegaMindResponse:
        """Run a turn and return its response, or the one its key led to before.

        Raises TurnInProgressError while another turn of the conversation runs,
        IdempotencyKeyReusedError, ConversationNotFoundError, TooManyTurnsError,
        StoreUnavailableError if nothing was stored, ReplyNotStoredError if the reply wasn't.
        """
        begun, running = await self.begin(request)
        if running is None:
            return stored_response(begun, replayed=True)
        record = await self.settled(running)
        is_ours = record.turn.attempt == begun.turn.attempt
        replayed = begun.outcome == "in_progress" or not is_ours
        return stored_response(record, replayed=replayed)

    async def begin(self, request: TurnRequest) -> Begun:
        """Begin a turn, or find what its key led to: what runs here, or has ended elsewhere.

        One that another process goes on with is waited for, until that has taken too long.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.retry_wait_seconds
        while True:
            begun = await self._starter.begin(request)
            if begun.running is not None:
                return begun
            record = await self._settled_elsewhere(begun.record, deadline)
            if not record.is_expired:
                return Begun(record, None)
            # Its worker is gone: begun again under the same key, the turn is taken over.

    async def stream(self, request: TurnRequest) -> AsyncIterator[TurnEvent]:
        """Run a turn, or find what its key led to, and return its events.

        What `run` would raise before the AI works is raised here, before there is a stream.
        """
        return self.events(await self.start(request), request)

    async def start(self, request: TurnRequest) -> Begun:
        """Begin a turn, or find what its key led to, and wait for nothing.

        Raises what `run` would before the AI works.
        """
        return await self._starter.begin(request)

    def events(self, begun: Begun, request: TurnRequest) -> AsyncIterator[TurnEvent]:
        """Return the events of a turn that this request led to."""
        record, running = begun
        if running is not None:
            running.is_streamed = True
            return follow_running(running)
        if record.reply is not None:
            return follow_settled(record)

        async def take_over(_: FollowedTurn) -> RunningTurn | None:
            return (await self._starter.begin(request)).running

        return self._follow_stored(record, place=START, on_expired=take_over)

    async def follow(
        self,
        user_id: UUID,
        turn_id: UUID,
        *,
        caller: Caller,
        place: Place,
        takes_over: Callable[[TurnRow], bool] = lambda _: False,
    ) -> AsyncIterator[TurnEvent]:
        """Return the events of a turn that was begun before, from a place in its draft on.

        If its worker is gone it is settled as it stands, or begun again if it `takes_over` such.
        Raises TurnNotFoundError if the user has none such.
        """
        running = self.registry.find(turn_id)
        if running is not None and running.user_id == user_id:
            return follow_running(running, place=place)
        record = await self._elsewhere.load(user_id, turn_id, caller=caller)

        async def take_over(turn: FollowedTurn) -> RunningTurn | None:
            return (await self._starter.begin(known_request(turn.record, caller))).running

        is_taken = takes_over(record.turn)
        on_expired = take_over if is_taken else FollowedTurn.settle
        return self._follow_stored(record, place=place, on_expired=on_expired)

    async def cancel(self, user_id: UUID, turn_id: UUID) -> TurnRecord:
        """Stop a turn: for good at once, and within a heartbeat where it runs elsewhere."""
        record = await self._store.cancel_turn(user_id, turn_id)
        running = self.registry.find(turn_id)
        if running is None:
            return record
        running.stop.set()
        return await self.settled(running)

    async def settled(self, running: RunningTurn) -> TurnRecord:
        """Wait for a turn of this process; raise ReplyNotStoredError where storing takes long."""
        while (reply := running.reply) is None and not running.settled.done():
            await running.change.wait()
        done, _ = await asyncio.wait({running.settled}, timeout=self._settings.store_timeout)
        if done or reply is None:
            return running.settled.result()
        raise ReplyNotStoredError(
            reply=unstored_message(reply).model_dump(mode="json"),
            details={
                "turnId": str(running.id),
                "conversationId": str(running.record.conversation.id),
            },
        )

    async def _settled_elsewhere(self, record: TurnRecord, deadline: float) -> TurnRecord:
        """Wait for a turn that another process runs, until it is settled or lost, or too late."""
        with suppress(TimeoutError):
            async with self._elsewhere.following(record) as turn, asyncio.timeout_at(deadline):
                while record.reply is None and not record.is_expired:
                    record = await turn.next_reading()
        return record

    def _follow_stored(
        self,
        record: TurnRecord,
        *,
        place: Place,
        on_expired: Callable[[FollowedTurn], Awaitable[RunningTurn | None]],
    ) -> AsyncIterator[TurnEvent]:
        return follow_stored(
            self._elsewhere,
            record,
            place=place,
            seconds=self._settings.engine_timeout + self._settings.lease_seconds,
            on_expired=on_expired,
        )
