"""How a SQL function is called, by whatever road: in a place, in time, and again if need be."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from ..observability import telemetry
from .failures import unavailable
from .retries import while_away

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..auth.caller import Caller
    from ..shares import StorePlaces
    from .replica import Replica
    from .roads import Road

# Whoever writes over the Data API can store any number that jsonb holds, and reads it back written
# out: up to 131,072 digits in front of the point. Python's own limit would make the row unreadable.
sys.set_int_max_str_digits(140_000)


class Store:
    """Calls SQL functions, each within one deadline."""

    def __init__(
        self, road: Road, *, timeout: float, places: StorePlaces, replica: Replica | None = None
    ) -> None:
        self._road = road
        self._replica = replica
        self._timeout = timeout
        self._places = places

    async def call(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        caller: Caller | None,
        attempts: int = 1,
        is_urgent: bool = False,
        is_enough: Callable[[dict[str, Any]], bool] | None = None,
    ) -> Any:
        """Call a SQL function as this caller (None: as the service) and return its jsonb value.

        With more `attempts` than one, which is for calls that do no harm when repeated, a store
        that is away is asked again, with jitter, inside the same deadline.

        What `is_enough` is given may be answered by a replica, if there is one and it says so.

        A call waits for a place behind those of its user, an urgent one behind urgent ones alone.

        Raises the AppError that the failure stands for; StoreUnavailableError if the store
        didn't give a whole, sensible answer in time, SchemaBehindError if it has no such
        function, TooManyRequestsError where very many calls of the user's wait.
        """
        places = self._places.urgent if is_urgent else self._places.others
        user_id = arguments.get("user_id")  # the first argument of whatever is about a user

        async def call_once() -> dict[str, Any]:
            async with places.taken_by(user_id):
                return await self._call_once(function, arguments, caller, is_enough)

        try:
            with telemetry.span("store", function=function):
                async with asyncio.timeout(self._timeout):
                    return await while_away(call_once, attempts=attempts, most_seconds=1.0)
        except TimeoutError as exc:
            raise unavailable(function, "deadline") from exc

    async def _call_once(
        self,
        function: str,
        arguments: Mapping[str, Any],
        caller: Caller | None,
        is_enough: Callable[[dict[str, Any]], bool] | None,
    ) -> dict[str, Any]:
        if self._replica is not None and is_enough is not None:
            copied = await self._replica.call(
                function, arguments, caller=caller, is_enough=is_enough
            )
            if copied is not None:
                return copied
        answer = await self._road.call(function, arguments, caller=caller)
        if not isinstance(answer, dict):
            raise unavailable(function, "not an object")
        return answer
