"""A way to a store of turns, for the contract that each keeps: memory, and the real roads."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from local.stack import Stack
from shared.auth.caller import Caller
from shared.models.turns import ExtendedTurn, TurnExtension, TurnRecord
from shared.persistence import Persistence
from tests.support.in_memory_store import InMemoryStore
from tests.support.roads import ROADS, store_by
from tests.support.users import make_user

BUDGET = 1_000


@dataclass(frozen=True)
class Road:
    """A way to a store, and two users who have an account there."""

    store: Persistence
    owner: Caller
    stranger: Caller
    delete: Callable[[UUID], Awaitable[object]]

    @property
    def user_id(self) -> UUID:
        """Whose turns they are."""
        assert self.owner.user_id is not None
        return self.owner.user_id

    async def begin(self, request: str = "Hello", **changed: Any) -> TurnRecord:
        """Begin a turn, under a key of its own unless one is given."""
        arguments = {
            "user_id": self.user_id,
            "idempotency_key": uuid4().hex,
            "request_hash": "hash",
            "message_id": uuid4(),
            "conversation_id": None,
            "project_id": None,
            "metadata": {},
            "lease_seconds": 60,
            "history_tokens": BUDGET,
        }
        return await self.store.begin_turn(request=request, **{**arguments, **changed})

    async def complete(self, record: TurnRecord, **changed: Any) -> TurnRecord:
        """Complete a turn as the attempt that was begun."""
        arguments = {
            "user_id": self.user_id,
            "turn_id": record.turn.id,
            "attempt": record.turn.attempt,
            "message_id": uuid4(),
            "status": "completed",
            "content": "Done.",
            "generated_code": None,
            "metadata": {"success": True},
            "error": None,
            "tokens": 0,
        }
        return record.ended(await self.store.complete_turn(**{**arguments, **changed}))

    async def extend(
        self,
        record: TurnRecord,
        offset: int = 0,
        text: str = "",
        *,
        lease_seconds: int = 60,
        tokens: int = 0,
    ) -> ExtendedTurn:
        """Send the heartbeat of one turn."""
        extension = TurnExtension(
            user_id=self.user_id,
            turn_id=record.turn.id,
            attempt=record.turn.attempt,
            draft_offset=offset,
            draft_tail=text,
            tokens=tokens,
        )
        extended = await self.store.extend_turns([extension], lease_seconds=lease_seconds)
        (turn,) = extended.turns
        return turn

    async def running(self, record: TurnRecord) -> int:
        """Return how many turns run in the project, by the heartbeat of this one."""
        extension = TurnExtension(
            user_id=self.user_id, turn_id=record.turn.id, attempt=1, draft_offset=0, draft_tail=""
        )
        return (await self.store.extend_turns([extension], lease_seconds=60)).running

    async def load(self, record: TurnRecord) -> TurnRecord:
        """Load a turn as its owner."""
        return await self.store.load_turn(self.user_id, record.turn.id, caller=self.owner)


@pytest.fixture(params=["memory", *ROADS])
async def road(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """Each road in turn."""
    if request.param == "memory":
        memory = InMemoryStore()

        async def forget(conversation_id: UUID) -> None:
            memory.forget_conversation(conversation_id)

        yield Road(memory, Caller(uuid4(), "owner"), Caller(uuid4(), "stranger"), forget)
        return
    stack: Stack = request.getfixturevalue("stack")
    owner, stranger = [await make_user(stack) for _ in range(2)]
    async with store_by(request.param, stack) as store:
        caller = Caller(UUID(owner.id), owner.token)

        async def delete(conversation_id: UUID) -> None:
            await store.delete_conversation(UUID(owner.id), conversation_id, caller=caller)

        yield Road(store, caller, Caller(UUID(stranger.id), stranger.token), delete)
    for user in (owner, stranger):
        await user.functions.aclose()
