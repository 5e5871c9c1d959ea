"""SQL functions about histories and summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.context import History, Unsummarised, WrittenSummary
from .calls import Calls, repeated

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller


class SummaryCalls(Calls):
    """What the AI is given of a conversation, and what stands for the rest."""

    @repeated(History)
    async def load_history(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        history_tokens: int,
        caller: Caller,
    ) -> History:
        """Read what the AI is given of a conversation, within a budget."""

    @repeated(Unsummarised)
    async def load_unsummarised(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        history_tokens: int,
    ) -> Unsummarised:
        """Read the oldest messages that are due for a summary, at most half of the budget."""

    @repeated(WrittenSummary)
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
        """Add a summary of everything up to a seq; outcome `busy` while a turn runs.

        `elsewhere` where another path was gone on with, which has no use for it.
        """
