"""What the sessions of every framework are made of: items as messages, appended and taken back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..auth.caller import SERVICE
from ..encoding.ids import conversation_of, new_id
from ..encoding.parts import text_of
from ..encoding.storable import escape_unstorable, map_texts
from ..errors import ConversationNotFoundError
from ..models.base import MAX_LIMIT
from ..models.conversations import LoadConversationRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
    from uuid import UUID

    from ..encoding.parts import Part
    from ..library import MessagePersistence
    from ..models.rows import MessageRow

ResultT = TypeVar("ResultT")

AT_A_TIME: Final = 200
TAKES_BACK: Final = "takesBack"  # in the metadata of a row of the system: an id, or `all`
ALL: Final = "all"
# Given to a provider in place of a result that a crash took: it refuses a call without one.
LOST_RESULT: Final = "The tool's result was lost: the call was interrupted."


@dataclass(frozen=True, slots=True)
class Item:
    """A framework's item: how it is shown, and how it is kept.

    `native` is its own JSON text: what comes back is that, to the letter.
    """

    role: str
    content: str
    native: str
    parts: Sequence[Part] = ()

    def as_row(self, framework: str, version: str) -> dict[str, Any]:
        """Return the row that is stored, under a new id."""
        parts = [map_texts(part, _storable) for part in self.parts]
        return {
            "id": str(new_id()),
            "role": self.role,
            "content": text_of(parts) if parts else _storable(self.content),
            "parts": parts,
            "native": {"framework": framework, "version": version, "data": self.native},
        }


@dataclass
class StoredItems:
    """The items of one session: a conversation of a user's.

    A `session_id` that is no uuid leads to a conversation of the user's own, always the same.
    """

    chat: MessagePersistence
    user_id: UUID
    session_id: str
    framework: str
    version: str
    conversation_id: UUID = field(init=False)
    _in_doubt: tuple[list[Item], list[dict[str, Any]]] | None = None

    def __post_init__(self) -> None:
        self.conversation_id = conversation_of(self.user_id, self.session_id)

    async def read(self, limit: int | None = None) -> list[MessageRow]:
        """Return the newest rows that weren't taken back, oldest first; by default all."""
        found: list[MessageRow] = []
        passed = 0
        async for row in self._newest_first():
            takes_back = row.metadata.get(TAKES_BACK) if row.role == "system" else None
            if takes_back == ALL or (limit is not None and len(found) >= limit):
                break
            if takes_back is not None:
                passed += 1
            elif passed:
                passed -= 1
            else:
                found.append(row)
        return found[::-1]

    async def add(self, items: Iterable[Item]) -> None:
        """Add items at the end, all of them or none.

        If that fails and is tried again with the same items, they are added once.
        """
        wanted = list(items)
        rows = self._rows_of(wanted)
        self._in_doubt = wanted, rows
        for first in range(0, len(rows), AT_A_TIME):
            await self._append(rows[first : first + AT_A_TIME])
        self._in_doubt = None

    async def take_back(self) -> MessageRow | None:
        """Take the newest row back, and return it. Nothing is lost: it stays, and so does this."""
        taken = await _to_its_end(
            self.chat.persistence.take_back_message(
                self.user_id, self.conversation_id, message_id=new_id()
            )
        )
        return taken.message

    async def clear(self) -> None:
        """Take everything back. Nothing is lost: it stays, and so does this."""
        if await self.read(limit=1):
            row = {
                "id": str(new_id()),
                "role": "system",
                "content": "All messages before this were taken back.",
                "metadata": {TAKES_BACK: ALL},
            }
            await self._append([row])

    def _rows_of(self, items: list[Item]) -> list[dict[str, Any]]:
        if self._in_doubt is not None and self._in_doubt[0] == items:
            return self._in_doubt[1]
        return [item.as_row(self.framework, self.version) for item in items]

    async def _append(self, rows: list[dict[str, Any]]) -> None:
        await _to_its_end(
            self.chat.persistence.append_messages(self.user_id, self.conversation_id, messages=rows)
        )

    async def _newest_first(self) -> AsyncIterator[MessageRow]:
        """Yield the conversation's rows from its end, without summaries; none if there is none."""
        before: int | None = None
        while True:
            request = LoadConversationRequest.model_validate(
                {"conversationId": str(self.conversation_id), "limit": MAX_LIMIT, "before": before}
            )
            try:
                page = await self.chat.persistence.load_conversation(
                    self.user_id, request, caller=SERVICE
                )
            except ConversationNotFoundError:
                return
            for row in reversed(page.messages):
                if not row.is_summary:
                    yield row
            if not page.page.has_older:
                return
            before = page.page.oldest_seq


async def _to_its_end(change: Awaitable[ResultT]) -> ResultT:
    """Wait for a change, and only then be cancelled: what comes next comes behind it."""
    task = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _storable(text: str) -> str:
    return escape_unstorable(text)[0]
