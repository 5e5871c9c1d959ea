"""Who may send a file: a few at a time, and each user one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from shared.errors import ImportBusyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

AT_A_TIME: Final = 8  # files on their way to this process
WAIT_SECONDS: Final = 10.0
MAX_WAITING: Final = 4  # of one user; they wait behind each other
RETRY_SECONDS: Final = 10


class Places:
    """The places for uploads of one process."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_A_TIME)
        self._of_users: dict[UUID, asyncio.Semaphore] = {}
        self._waiting: dict[UUID, int] = {}

    @asynccontextmanager
    async def taken_by(self, user_id: UUID) -> AsyncIterator[None]:
        """Hold a place; wait for it a little. Raises ImportBusyError."""
        if self._waiting.get(user_id, 0) >= MAX_WAITING:
            raise ImportBusyError(retry_after=RETRY_SECONDS)
        self._waiting[user_id] = self._waiting.get(user_id, 0) + 1
        own = self._of_users.setdefault(user_id, asyncio.Semaphore())
        try:
            await _acquire(own)
            try:
                await _acquire(self._places)
                try:
                    yield
                finally:
                    self._places.release()
            finally:
                own.release()
        finally:
            self._leave(user_id)

    def _leave(self, user_id: UUID) -> None:
        self._waiting[user_id] -= 1
        if not self._waiting[user_id]:
            del self._waiting[user_id], self._of_users[user_id]


async def _acquire(place: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await place.acquire()
    except TimeoutError:
        raise ImportBusyError(retry_after=RETRY_SECONDS) from None
