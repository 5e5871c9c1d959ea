"""How a SQL function is called, as the service or as a user, and what its failures mean.

The only place that calls `.rpc()`, and the only one that knows PostgREST's errors.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING, Any

import httpx
import stamina
import structlog
from postgrest import APIError

from ..errors import (
    AppError,
    BranchNotFoundError,
    ConversationNotFoundError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    ImportIncompleteError,
    InternalError,
    InvalidImportError,
    InvalidRequestError,
    LegalHoldError,
    LegalHoldNotFoundError,
    MessageNotEditableError,
    MessageNotFoundError,
    NotFoundError,
    RetentionPolicyNotFoundError,
    SchemaBehindError,
    SchemaNotServedError,
    SearchTooBroadError,
    StoreUnavailableError,
    TooManyBytesError,
    TooManyTokensError,
    TooManyTurnsError,
    TurnInProgressError,
    TurnNotFoundError,
    UnauthorizedError,
    UserNotFoundError,
)
from ..observability import telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supabase import AsyncClient

    from ..auth.caller import Caller
    from ..shares import StorePlaces
    from .clients import Clients

log = structlog.get_logger(__name__)

# Whoever writes over the Data API can store any number that jsonb holds, and reads it back written
# out: up to 131,072 digits in front of the point. Python's own limit would make the row unreadable.
sys.set_int_max_str_digits(140_000)

# What our SQL functions raise: an SQLSTATE of the form PTnnn, and a sentence that begins as the
# error's own. Nothing else counts, since PostgREST may be set to leave details and hints out.
RAISED_BY_US: tuple[tuple[str, str, type[AppError]], ...] = tuple(
    (f"PT{error.status}", error().message.removesuffix("."), error)
    for error in (
        ConversationNotFoundError,
        MessageNotFoundError,
        BranchNotFoundError,
        TurnNotFoundError,
        UserNotFoundError,
        ForbiddenError,
        RetentionPolicyNotFoundError,
        LegalHoldNotFoundError,
        LegalHoldError,
        InvalidRequestError,
        TurnInProgressError,
        IdempotencyKeyReusedError,
        MessageNotEditableError,
        SearchTooBroadError,
        TooManyTurnsError,
        TooManyTokensError,
        TooManyBytesError,
        InvalidImportError,
        ImportIncompleteError,
    )
)

# Beside a sentence that is about this one request.
RAISED_BY_US_OTHERWISE: Mapping[str, type[AppError]] = {
    "PT400": InvalidRequestError,
    "PT403": ForbiddenError,
    "PT404": NotFoundError,
    "PT409": LegalHoldError,
    "PT429": TooManyTurnsError,
}

# By SQLSTATE: what is wrong with the request itself.
REFUSED_BY_POSTGRES: Mapping[str, type[AppError]] = {
    "22P02": InvalidRequestError,  # not a valid value of its type
    "22P05": InvalidRequestError,  # a character that can't be stored
    "22021": InvalidRequestError,
    "22003": InvalidRequestError,  # a number out of range
    "23514": InvalidRequestError,  # a check constraint
    "54001": InvalidRequestError,  # nested too deep
}

# What the Data API doesn't have.
NOT_THERE: Mapping[str, type[AppError]] = {
    "PGRST202": SchemaBehindError,  # by that name and with these arguments, as far as it has read
    "PGRST106": SchemaNotServedError,  # DATABASE_SCHEMA is none that it exposes
}

# An account that is gone while its token is still valid.
DELETED_ACCOUNT = (
    "conversations_user_id_fkey",
    "import_parts_user_id_fkey",
    "turn_usage_user_id_fkey",
    "bytes_written_user_id_fkey",
)


class Store:
    """Calls SQL functions over the Data API, each within one deadline."""

    def __init__(self, clients: Clients, *, timeout: float, places: StorePlaces) -> None:
        self._clients = clients
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
    ) -> Any:
        """Call a SQL function as this caller (None: as the service) and return its jsonb value.

        With more `attempts` than one, which is for calls that do no harm when repeated, a store
        that is away is asked again, with jitter, inside the same deadline.

        A call waits for a place behind those of its user, an urgent one behind urgent ones alone.

        Raises the AppError that the failure stands for; StoreUnavailableError where the store
        didn't give a whole, sensible answer in time, SchemaBehindError where it has no such
        function, TooManyRequestsError where very many calls of the user's wait.
        """
        client = self._client_for(caller)
        as_user = caller is not None and not caller.is_service
        places = self._places.urgent if is_urgent else self._places.others
        user_id = arguments.get("user_id")  # the first argument of whatever is about a user
        try:
            with telemetry.span("store", function=function):
                async with asyncio.timeout(self._timeout):
                    async for attempt in stamina.retry_context(
                        on=StoreUnavailableError, attempts=attempts, wait_initial=0.1, wait_max=1.0
                    ):
                        with attempt:
                            async with places.taken_by(user_id):
                                return await _call_once(
                                    client, function, arguments, as_user=as_user
                                )
        except TimeoutError as exc:
            raise _unavailable(function, "deadline") from exc

    def _client_for(self, caller: Caller | None) -> AsyncClient:
        if caller is None or caller.token is None:
            return self._clients.service()
        return self._clients.as_user(caller.token)


async def _call_once(
    client: AsyncClient, function: str, arguments: Mapping[str, Any], *, as_user: bool
) -> dict[str, Any]:
    try:
        answer = await client.rpc(function, dict(arguments)).execute()
    except APIError as exc:
        raise _meaning(exc, function, as_user=as_user) from exc
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        raise _unavailable(function, type(exc).__name__) from exc
    except ValueError as exc:  # an answer that isn't the Data API's
        raise _unavailable(function, type(exc).__name__) from exc
    if not isinstance(answer.data, dict):
        raise _unavailable(function, "not an object")
    return answer.data


def _meaning(exc: APIError, function: str, *, as_user: bool) -> AppError:
    """Translate what the Data API answered: what we raised, then SQLSTATE, then constraint."""
    code = str(exc.code or "")
    if ours := _raised_by_us(code, exc.message or ""):
        return ours
    if code in REFUSED_BY_POSTGRES:
        return REFUSED_BY_POSTGRES[code]("A value in the request can't be stored.")
    if code == "23503" and any(name in (exc.message or "") for name in DELETED_ACCOUNT):
        return UnauthorizedError()
    if as_user and code == "42501":
        return ForbiddenError()
    if as_user and (code == "401" or code.startswith("PGRST3")):
        return UnauthorizedError()
    if code in NOT_THERE:
        return NOT_THERE[code]()
    if _is_our_mistake(code):
        log.error("store_call_refused", function=function, sqlstate=code)
        return InternalError()
    return _unavailable(function, code)


def _raised_by_us(code: str, message: str) -> AppError | None:
    """Return our error, with the seconds of a sentence such as "Try again in 37 seconds."."""
    named = (
        error
        for status, sentence, error in RAISED_BY_US
        if code == status and message.startswith(sentence)
    )
    kind = next(named, RAISED_BY_US_OTHERWISE.get(code))
    if kind is None:
        return None
    seconds = re.search(r"in (\d+) seconds", message)
    return kind(message, retry_after=int(seconds[1])) if seconds else kind(message)


def _is_our_mistake(code: str) -> bool:
    """Whether the store is well and the call was wrong: a missing grant, a broken rule."""
    is_sqlstate = len(code) == 5  # a bare HTTP status, such as 429, comes in the same place
    return (is_sqlstate and code.startswith(("22", "23", "42", "P0"))) or code.startswith(
        ("PGRST1", "PGRST2")
    )


def _unavailable(function: str, reason: str) -> StoreUnavailableError:
    log.warning("store_unavailable", function=function, reason=reason)
    return StoreUnavailableError()
