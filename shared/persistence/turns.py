"""SQL functions about turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from ..models.turns import (
    CompletedTurn,
    CountedTokens,
    CountedTurn,
    ExpiredTurns,
    ExtendedTurns,
    SettledTurns,
    TurnNews,
    TurnRecord,
)
from .calls import Calls, once, repeated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.turn_arguments import TurnBegin, TurnCompletion
    from ..models.turns import TurnExtension


class TurnCalls(Calls):
    """Turns, from accept to reply."""

    async def begin_turn(self, **asked: Unpack[TurnBegin]) -> TurnRecord:
        """Commit the user's message and open its turn, or find what this key led to."""
        given = {**_given(asked), "request_hash": asked["request_hash"]}  # which has no default
        return await self._call_with_retries(TurnRecord, "begin_turn", **given)

    @once(CountedTurn)
    async def count_unstored_turn(
        self,
        *,
        user_id: UUID,
        turns_per_minute: int | None,
        turns_per_day: int | None,
        tokens_per_day: int | None,
    ) -> CountedTurn:
        """Count a turn of which nothing is stored towards its user's limits.

        Raises TooManyTurnsError and TooManyTokensError if none is left.
        """

    @once(CountedTokens)
    async def add_tokens(self, user_id: UUID, turn_id: UUID, *, tokens: int) -> CountedTokens:
        """Count tokens towards a turn that is settled, or was never stored.

        Once: had it been counted and its answer lost, they would count twice.
        """

    async def extend_turns(
        self, extensions: list[TurnExtension], *, lease_seconds: int
    ) -> ExtendedTurns:
        """Renew the leases of a process's turns and write their drafts."""
        return await self._call(
            ExtendedTurns,
            "extend_turns",
            is_urgent=True,  # or turns would lose their leases to a load that is none of theirs
            extensions=[extension.as_argument() for extension in extensions],
            lease_seconds=lease_seconds,
        )

    @repeated(TurnRecord)
    async def load_turn(self, user_id: UUID, turn_id: UUID, *, caller: Caller | None) -> TurnRecord:
        """Read a turn with its messages and its draft; as the service where `caller` is None."""

    @repeated(TurnRecord)
    async def find_turn(
        self, user_id: UUID, idempotency_keys: list[str], *, caller: Caller
    ) -> TurnRecord:
        """Read the turn of the first of these keys that has one; raise TurnNotFoundError."""

    @repeated(TurnNews)
    async def follow_turn(
        self,
        user_id: UUID,
        turn_id: UUID,
        *,
        attempt: int,
        draft_offset: int,
        parts_version: int = 0,
    ) -> TurnNews:
        """Read how a turn stands, and what is new of its draft: all, if another attempt's."""

    @repeated(TurnRecord)
    async def cancel_turn(self, user_id: UUID, turn_id: UUID) -> TurnRecord:
        """Ask a turn of this user to stop."""

    @repeated(SettledTurns)
    async def settle_expired_turn(self, user_id: UUID, conversation_id: UUID) -> SettledTurns:
        """Settle a conversation's running turn if its lease is over."""

    @repeated(ExpiredTurns)
    async def list_expired_turns(self) -> ExpiredTurns:
        """List the turns of all users whose lease is over, a thousand at most."""

    async def complete_turn(self, **done: Unpack[TurnCompletion]) -> CompletedTurn:
        """Commit the reply and close the turn; outcome `superseded` where another worker has it."""
        return await self._call(CompletedTurn, "complete_turn", is_urgent=True, **_given(done))


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing: the function has a default for it, and need not be sent it."""
    return {name: value for name, value in arguments.items() if value not in (None, [])}
