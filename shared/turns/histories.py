"""Histories that this process was sent, so that the store sends what came after them alone.

Messages are append-only, so what is kept stays true. The store is asked each time whether the
newest of it is still where it was: not so after a deletion, or along another branch.
"""

from __future__ import annotations

import asyncio
import sys
import time
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final
from uuid import UUID

from ..ai.protocol import HISTORY, HistoryMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models.turns import TurnRecord

MOST_BYTES: Final = 64 * 1024 * 1024
KEPT_SECONDS: Final = 600.0  # after it was last of use: what was erased elsewhere is gone here then
ROW_BYTES: Final = 600  # of a message beside its text

Key = tuple[UUID, UUID]

_seq = attrgetter("seq")


@dataclass(frozen=True, slots=True)
class KnownHistory:
    """The messages of a conversation from a place on, up to the one with an id."""

    first: int
    newest_id: UUID
    messages: list[HistoryMessage]
    tokens: int | None  # if they are all that is to be given
    size: int
    used_at: float

    def since(self, first: int) -> tuple[list[HistoryMessage], int]:
        """Return the messages from a place on, and their size; look at no other."""
        start = bisect_left(self.messages, first, key=_seq)
        return self.messages[start:], self.size - sum(map(_size_of, self.messages[:start]))


class Histories:
    """The histories of conversations that had a turn here lately, bounded in bytes and in time."""

    def __init__(
        self, *, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept: OrderedDict[Key, KnownHistory] = OrderedDict()  # what was of use last is last
        self._size = 0
        self._forgetting: asyncio.TimerHandle | None = None

    def known(self, user_id: UUID, conversation_id: UUID | None) -> KnownHistory | None:
        """Return what is kept of a conversation."""
        self._forget_old()
        return None if conversation_id is None else self._kept.get((user_id, conversation_id))

    def completed(self, record: TurnRecord, known: KnownHistory | None) -> TurnRecord:
        """Return a begun turn with its whole history, of which `known` was not sent; keep that."""
        context = record.context
        if context is None:
            return record
        sent = HISTORY.validate_python(record.history)
        summary = sent[:1] if context.covers_to else []
        messages = sent[len(summary) :]
        size = sum(map(_size_of, messages))
        if context.known and known is not None:
            kept, kept_size = known.since(context.first)
            messages, size = kept + messages, kept_size + size
        self._keep(record, messages, size=size)
        return record.model_copy(update={"history": summary + messages})

    def _keep(self, record: TurnRecord, messages: list[HistoryMessage], *, size: int) -> None:
        """Keep a turn's history with the message that it answers, which comes next in it."""
        key = (record.turn.user_id, record.conversation.id)
        self._drop(key)
        context, asked = record.context, record.user_message
        if context is None or not context.is_complete or size > self._most_bytes // 4:
            return
        newest = HistoryMessage.model_validate(asked, from_attributes=True)
        is_all = context.is_whole and context.first == context.covers_to + 1
        self._kept[key] = KnownHistory(
            first=context.first,
            newest_id=asked.id,
            messages=[*messages, newest],
            tokens=context.since_tokens + newest.tokens if is_all else None,
            size=size + _size_of(newest),
            used_at=self._clock(),
        )
        self._size += self._kept[key].size
        while self._size > self._most_bytes:
            self._drop(next(iter(self._kept)))
        self._forget_later()

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        self._size -= dropped.size if dropped is not None else 0

    def _forget_old(self) -> None:
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if self._clock() - oldest.used_at < KEPT_SECONDS:
                return
            self._drop(key)

    def _forget_later(self) -> None:
        """See to it that a process at rest forgets as well."""
        if self._forgetting is None and self._kept:
            loop = asyncio.get_running_loop()
            self._forgetting = loop.call_later(KEPT_SECONDS, self._forget_in_time)

    def _forget_in_time(self) -> None:
        self._forgetting = None
        self._forget_old()
        self._forget_later()


def _size_of(row: HistoryMessage) -> int:
    beside = len(repr(row.parts)) + len(repr(row.native)) if row.parts or row.native else 0
    return ROW_BYTES + sys.getsizeof(row.content) + beside
