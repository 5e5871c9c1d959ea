"""What turns and summaries ask of the store: the verbs of shared.persistence that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller
    from ..encoding.parts import Part
    from ..models.context import History, Unsummarised, WrittenSummary
    from ..models.turns import (
        CountedTokens,
        CountedTurn,
        ExtendedTurns,
        SettledTurns,
        TurnExtension,
        TurnNews,
        TurnRecord,
    )


class TurnStore(Protocol):
    """The verbs of turns, described in shared.persistence. Each is one round trip."""

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
        """Commit the user's message and open its turn, or find what this key led to."""

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
        """Commit the reply and close the turn."""

    async def extend_turns(
        self, extensions: list[TurnExtension], *, lease_seconds: int
    ) -> ExtendedTurns:
        """Renew leases and write drafts."""

    async def load_turn(self, user_id: UUID, turn_id: UUID, *, caller: Caller | None) -> TurnRecord:
        """Read a turn with its messages and its draft."""

    async def watch_turn(
        self,
        user_id: UUID,
        turn_id: UUID,
        *,
        attempt: int,
        draft_offset: int,
        parts_version: int = 0,
    ) -> TurnNews:
        """Read what is new of a turn."""

    async def cancel_turn(self, user_id: UUID, turn_id: UUID) -> TurnRecord:
        """Ask a turn to stop."""

    async def settle_expired_turn(self, user_id: UUID, conversation_id: UUID) -> SettledTurns:
        """Settle a conversation's running turn if its lease is over."""

    async def count_unstored_turn(
        self,
        *,
        user_id: UUID,
        turns_per_minute: int | None,
        turns_per_day: int | None,
        tokens_per_day: int | None,
    ) -> CountedTurn:
        """Count a turn of which nothing is stored towards its user's limits."""

    async def add_tokens(self, user_id: UUID, turn_id: UUID, *, tokens: int) -> CountedTokens:
        """Count tokens towards a turn that is settled, or was never stored."""

    async def load_history(
        self, user_id: UUID, conversation_id: UUID, *, history_tokens: int, caller: Caller
    ) -> History:
        """Read what the AI is given of a conversation."""


class SummaryStore(Protocol):
    """What summaries ask of the store beside them."""

    async def load_unsummarised(
        self, user_id: UUID, conversation_id: UUID, *, history_tokens: int
    ) -> Unsummarised:
        """Read the oldest messages that are due for a summary."""

    async def add_tokens(self, user_id: UUID, turn_id: UUID, *, tokens: int) -> CountedTokens:
        """Count tokens towards a turn that is settled, or was never stored."""

    async def write_summary(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        message_id: UUID,
        covers_to: int,
        content: str,
        metadata: dict[str, Any],
    ) -> WrittenSummary:
        """Add a summary of everything up to a seq."""
