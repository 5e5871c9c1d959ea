"""SQL functions about turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.turns import (
    CountedTokens,
    CountedTurn,
    ExpiredTurns,
    ExtendedTurns,
    SettledTurns,
    TurnNews,
    TurnRecord,
)
from .calls import Calls

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller
    from ..encoding.parts import Part
    from ..models.turns import TurnExtension


class TurnCalls(Calls):
    """Turns, from accept to reply."""

    async def begin_turn(
        self,
        *,
        user_id: UUID,
        idempotency_key: str,
        request_hash: str | None,
        request: str,
        message_id: UUID,
        conversation_id: UUID | None,
        project_id: UUID | None,
        metadata: dict[str, Any],
        parts: list[Part] | None = None,
        native: dict[str, Any] | None = None,
        lease_seconds: int,
        history_tokens: int,
        turns_per_minute: int | None = None,
        turns_per_day: int | None = None,
        tokens_per_day: int | None = None,
        edits: UUID | None = None,
        regenerates: UUID | None = None,
        opens_conversation: bool = False,
        known_from: int | None = None,
        known_id: UUID | None = None,
    ) -> TurnRecord:
        """Commit the user's message and open its turn, or find what this key led to.

        `message_id` becomes the row's id where the row is new. A turn that `regenerates` has no
        row of its own: then it is the turn's. With `opens_conversation` `conversation_id` becomes
        the conversation's, where nobody has it. Without `request_hash` the key is a known turn's.
        """
        return await self._call_with_retries(
            TurnRecord,
            "begin_turn",
            user_id=user_id,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            request=request,
            message_id=message_id,
            conversation_id=conversation_id,
            project_id=project_id,
            metadata=metadata,
            **_beyond_text(parts, native),
            lease_seconds=lease_seconds,
            history_tokens=history_tokens,
            turns_per_minute=turns_per_minute,
            turns_per_day=turns_per_day,
            tokens_per_day=tokens_per_day,
            edits=edits,
            regenerates=regenerates,
            opens_conversation=opens_conversation,
            known_from=known_from,
            known_id=known_id,
        )

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
        return await self._call(
            CountedTurn,
            "count_unstored_turn",
            user_id=user_id,
            turns_per_minute=turns_per_minute,
            turns_per_day=turns_per_day,
            tokens_per_day=tokens_per_day,
        )

    async def add_tokens(self, user_id: UUID, turn_id: UUID, *, tokens: int) -> CountedTokens:
        """Count tokens towards a turn that is settled, or was never stored.

        Once: had it been counted and its answer lost, they would count twice.
        """
        return await self._call(
            CountedTokens, "add_tokens", user_id=user_id, turn_id=turn_id, tokens=tokens
        )

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

    async def load_turn(self, user_id: UUID, turn_id: UUID, *, caller: Caller | None) -> TurnRecord:
        """Read a turn with its messages and its draft; as the service where `caller` is None."""
        return await self._call_with_retries(
            TurnRecord, "load_turn", caller, user_id=user_id, turn_id=turn_id
        )

    async def find_turn(self, user_id: UUID, keys: list[str], *, caller: Caller) -> TurnRecord:
        """Read the turn of the first of these keys that has one; raise TurnNotFoundError."""
        return await self._call_with_retries(
            TurnRecord, "find_turn", caller, user_id=user_id, idempotency_keys=keys
        )

    async def watch_turn(
        self,
        user_id: UUID,
        turn_id: UUID,
        *,
        attempt: int,
        draft_offset: int,
        parts_version: int = 0,
    ) -> TurnNews:
        """Read how a turn stands, and what is new of its draft: all, if another attempt's."""
        return await self._call_with_retries(
            TurnNews,
            "watch_turn",
            user_id=user_id,
            turn_id=turn_id,
            attempt=attempt,
            draft_offset=draft_offset,
            parts_version=parts_version,
        )

    async def cancel_turn(self, user_id: UUID, turn_id: UUID) -> TurnRecord:
        """Ask a turn of this user to stop."""
        return await self._call_with_retries(
            TurnRecord, "cancel_turn", user_id=user_id, turn_id=turn_id
        )

    async def settle_expired_turn(self, user_id: UUID, conversation_id: UUID) -> SettledTurns:
        """Settle a conversation's running turn if its lease is over."""
        return await self._call_with_retries(
            SettledTurns,
            "settle_expired_turn",
            user_id=user_id,
            conversation_id=conversation_id,
        )

    async def list_expired_turns(self) -> ExpiredTurns:
        """List the turns of all users whose lease is over, a thousand at most."""
        return await self._call_with_retries(ExpiredTurns, "list_expired_turns")

    async def complete_turn(
        self,
        *,
        user_id: UUID,
        turn_id: UUID,
        attempt: int,
        message_id: UUID,
        status: str,
        content: str,
        generated_code: str | None,
        metadata: dict[str, Any],
        error: dict[str, Any] | None,
        tokens: int,
        parts: list[Part] | None = None,
        native: dict[str, Any] | None = None,
    ) -> TurnRecord:
        """Commit the reply and close the turn; outcome `superseded` where another worker has it."""
        return await self._call(
            TurnRecord,
            "complete_turn",
            is_urgent=True,
            user_id=user_id,
            turn_id=turn_id,
            attempt=attempt,
            message_id=message_id,
            status=status,
            content=content,
            generated_code=generated_code,
            metadata=metadata,
            error=error,
            tokens=tokens,
            **_beyond_text(parts, native),
        )


def _beyond_text(parts: list[Part] | None, native: dict[str, Any] | None) -> dict[str, Any]:
    """Return the arguments that a message has where it is more than text."""
    given = {"parts": parts or None, "native": native}
    return {name: value for name, value in given.items() if value is not None}
