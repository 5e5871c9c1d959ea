"""What one user may take of what a process hands out; who wants more waits behind himself.

A place is one call to the store, one turn that runs, one open request, and so on: `Shares` is the
table of them. Whoever can't be told from others, such as strangers, is one user: None.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Final

from .errors import AppError, ImportBusyError, TooManyRequestsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from .config import Settings

# Of one user, at a time, in one process.
REQUESTS_EACH: Final = 32  # open ones, with streams, followers and what is being sent
TURNS_EACH: Final = 16  # that run, stored or not
HEAVY_READS_EACH: Final = 1  # searches and analytics
EXPORTS_EACH: Final = 1  # until they are sent
LARGE_BODIES_EACH: Final = 1  # until they are parsed: reading one takes the event loop's time
UPLOADS_EACH: Final = 1  # from before one is sent until it is read
UPLOADS_WAITING: Final = 3
MAX_WAITING: Final = 32  # for each kind of place
PATIENCE_SECONDS: Final = 2.0

# Of all users together.
HEAVY_READS: Final = 4
EXPORTS: Final = 16
LARGE_BODIES: Final = 8
UPLOADS: Final = 8
UPLOAD_PATIENCE_SECONDS: Final = 10.0


class Places:
    """`total` places, of which one user holds `each` at most.

    A place that becomes free goes to the users who wait by turns, whoever of them asked most often.
    `waiting` of one user wait at most, for `patience` seconds (None: until their caller gives up);
    then they are refused: with `refusal`, or else by whose places are taken.
    """

    def __init__(
        self,
        total: float = inf,
        *,
        each: int,
        waiting: int = MAX_WAITING,
        patience: float | None = PATIENCE_SECONDS,
        refusal: type[AppError] | None = None,
    ) -> None:
        self._free = total
        self._each = each
        self._most_waiting = waiting
        self._patience = patience
        self._refusal = refusal
        self._held: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # next is who is first

    @asynccontextmanager
    async def taken_by(self, user: Hashable) -> AsyncIterator[None]:
        """Hold a place; wait for it where there is none.

        Raises TooManyRequestsError if the user's own are taken, UnavailableError if all are.
        """
        await self._take(user)
        try:
            yield
        finally:
            self.give_back(user)

    def hold(self, user: Hashable) -> None:
        """Take a place without a question: for what begins in a place and outlasts it."""
        self._held[user] += 1
        self._free -= 1

    def give_back(self, user: Hashable) -> None:
        """Let a place go, to the next who waits for one."""
        self._free += 1
        self._held[user] -= 1
        if not self._held[user]:
            del self._held[user]
        for other, waiting in self._waiting.items():
            if self._has_place_for(other):
                self._hand_over(other, waiting)
                return

    def _has_place_for(self, user: Hashable) -> bool:
        return self._free > 0 and self._held[user] < self._each

    def _hand_over(self, user: Hashable, waiting: deque[asyncio.Future[None]]) -> None:
        """Give a place to whoever of a user's waits longest; the user is last in turn then."""
        waiting.popleft().set_result(None)
        self.hold(user)
        del self._waiting[user]
        if waiting:
            self._waiting[user] = waiting

    async def _take(self, user: Hashable) -> None:
        if self._has_place_for(user):
            self.hold(user)
            return
        if len(self._waiting.get(user, ())) >= self._most_waiting:
            raise self._refused(user)
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(place)
        try:
            async with asyncio.timeout(self._patience):
                # A place of its own, so that one who gives up leaves none behind that is cancelled.
                await asyncio.shield(place)
        except BaseException as exc:
            self._give_up(user, place)
            if isinstance(exc, TimeoutError):
                raise self._refused(user) from None
            raise

    def _give_up(self, user: Hashable, place: asyncio.Future[None]) -> None:
        """Leave, or give the place back that came at the same moment."""
        if place.done():
            self.give_back(user)
            return
        self._waiting[user].remove(place)
        if not self._waiting[user]:
            del self._waiting[user]

    def _refused(self, user: Hashable) -> AppError:
        if self._refusal is not None:
            return self._refusal()
        is_own = self._free > 0 and self._held[user] >= self._each
        return TooManyRequestsError() if is_own else UnavailableError()


class Shares:
    """The places of one process. What the service does counts for its user, or not at all."""

    def __init__(self, settings: Settings) -> None:
        self.requests = Places(each=REQUESTS_EACH)
        self.large_bodies = Places(
            LARGE_BODIES, each=LARGE_BODIES_EACH, patience=settings.store_timeout
        )
        self.heavy_reads = Places(
            HEAVY_READS, each=HEAVY_READS_EACH, patience=settings.store_timeout
        )
        self.exports = Places(EXPORTS, each=EXPORTS_EACH, patience=settings.store_timeout)
        self.uploads = Places(
            UPLOADS,
            each=UPLOADS_EACH,
            waiting=UPLOADS_WAITING,
            patience=UPLOAD_PATIENCE_SECONDS,
            refusal=ImportBusyError,
        )
        self.turns = turn_places(settings.max_concurrent_turns)


class StorePlaces:
    """The calls to the store that a process makes at a time: `connections`, a few kept for urgent.

    Urgent is what running turns live by. One user has half of each kind at most.
    """

    def __init__(self, connections: int) -> None:
        kept = max(2, connections // 5)
        others = connections - kept
        self.urgent = Places(kept, each=max(kept // 2, 1), waiting=1_000, patience=None)
        self.others = Places(
            others, each=max(others // 2, 1), waiting=2 * MAX_WAITING, patience=None
        )


def turn_places(limit: int) -> Places:
    """Return the places of `limit` turns: sixteen a user, and never more than half of them."""
    return Places(limit, each=min(TURNS_EACH, (limit + 1) // 2))
