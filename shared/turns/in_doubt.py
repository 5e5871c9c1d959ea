"""Turns that may have been begun: the store was asked, and its answer never came.

Under the id of the message that was sent then, the store lets a retry begin the turn at once, since
nobody works on it yet. Under another id it would find the turn running, and wait for the end of a
lease that nobody holds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from ..encoding.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

MOST = 10_000


class Begin(NamedTuple):
    """A call that begins a turn: the id of its message, and when the first such call was sent."""

    message_id: UUID
    sent_at: float


class InDoubtBegins:
    """What was asked under a key without an answer, for `seconds`: while its lease surely runs."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._begins: dict[Hashable, Begin] = {}

    def take(self, key: Hashable) -> Begin:
        """Return what to send: as it was sent before, to one caller alone, or as new."""
        now = _now()
        known = self._begins.pop(key, None)
        if known is not None and not self._is_over(known):
            return known
        return Begin(new_id(), now)

    def _is_over(self, begin: Begin) -> bool:
        return _now() - begin.sent_at >= self._seconds

    def keep(self, key: Hashable, begin: Begin) -> None:
        """Remember a call whose answer didn't come; the oldest are forgotten.

        Of several under one key, the first sent: it is the one that the store let through.
        """
        known = self._begins.get(key)
        if known is None or begin.sent_at <= known.sent_at or self._is_over(known):
            self._begins[key] = begin
        while len(self._begins) > MOST:
            del self._begins[next(iter(self._begins))]


def _now() -> float:
    return asyncio.get_running_loop().time()
