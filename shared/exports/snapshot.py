"""A conversation as it was when its export began, read page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .branches import Branches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.transfers import ConversationExport, MessageExport
    from ..persistence import Persistence


@dataclass(slots=True)
class Tally:
    """How much the last reading of a snapshot has seen."""

    messages: int = 0
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The messages 1 ... last_seq of a conversation, which can't change any more."""

    conversation: ConversationExport
    first_page: list[MessageExport]
    persistence: Persistence
    caller: Caller
    tally: Tally = field(default_factory=Tally)

    @property
    def is_whole(self) -> bool:
        """Whether the first page has all of its messages."""
        return len(self.first_page) >= self.conversation.last_seq

    async def in_reading_order(self) -> AsyncIterator[MessageExport]:
        """Yield the messages of the active path, then those beside it, branch by branch.

        A conversation of one path is read once, in its order.
        """
        row = self.conversation
        if not row.branches:
            async for message in self.messages():
                yield message
            return
        branches = Branches(row.branches, row.active_branch, row.last_seq)
        for is_on_path in (True, False):
            async for message in self.messages():
                if branches.is_on_path(message.seq) is is_on_path:
                    yield message.model_copy(update=branches.place_of(message.seq))

    async def messages(self) -> AsyncIterator[MessageExport]:
        """Yield each message in order; may be called more than once.

        Raises ConversationNotFoundError if the conversation is deleted in the meantime.
        """
        last_seq = self.conversation.last_seq
        imported = self.conversation.imported or {}
        summaries = frozenset(imported.get("summaries", ()))
        system = summaries.union(imported.get("system", ()))
        page = self.first_page
        self.tally.messages = self.tally.turns = 0
        while page:
            for message in page:
                self.tally.messages += 1
                self.tally.turns += message.turn is not None
                yield _as_it_was(message, summaries) if message.seq in system else message
            after = page[-1].seq
            if after >= last_seq:
                return
            page = (
                await self.persistence.export_messages(
                    self.conversation.user_id,
                    self.conversation.id,
                    caller=self.caller,
                    after=after,
                    until=last_seq,
                )
            ).messages


async def take_snapshot(
    persistence: Persistence, user_id: UUID, conversation_id: UUID, *, caller: Caller
) -> Snapshot:
    """Read a conversation's row and its first messages."""
    page = await persistence.export_messages(user_id, conversation_id, caller=caller)
    return Snapshot(page.conversation, page.messages, persistence, caller)


def _as_it_was(message: MessageExport, summaries: frozenset[int]) -> MessageExport:
    """Return a system row that an import stored as a user's in the role it had."""
    original = {"role": "system", "is_summary": message.seq in summaries}
    return message.model_copy(update=original)
