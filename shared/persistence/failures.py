"""What a failed call of a SQL function means: the one error that callers get, by whatever road.

By what we raised ourselves, then by SQLSTATE, then by constraint.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog

from ..errors import (
    AppError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    LegalHoldError,
    NotFoundError,
    SchemaBehindError,
    SchemaNotServedError,
    StoreUnavailableError,
    TooManyTurnsError,
    UnauthorizedError,
    every_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)

# What our SQL functions raise: an SQLSTATE of the form PTnnn, and a sentence that begins as the
# error's own. Nothing else counts, since PostgREST may be set to leave details and hints out.
RAISED_BY_US: tuple[tuple[str, str, type[AppError]], ...] = tuple(
    (f"PT{error.status}", error().message.removesuffix("."), error) for error in every_error()
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


UNKNOWN_KEY = "Invalid API key"  # a gateway's sentence, without a code


def meaning(code: str, message: str, function: str, *, as_user: bool) -> AppError:
    """Return the error that an SQLSTATE or a code of the Data API's stands for."""
    if ours := _raised_by_us(code, message):
        return ours
    if code in REFUSED_BY_POSTGRES:
        return unstorable()
    if code == "23503" and any(name in message for name in DELETED_ACCOUNT):
        return UnauthorizedError()
    if as_user and code == "42501":
        return ForbiddenError()
    if code == "401" or code.startswith("PGRST3") or message.startswith(UNKNOWN_KEY):
        return UnauthorizedError() if as_user else refused_key(function)
    if code in NOT_THERE:
        return NOT_THERE[code]()
    if _is_our_mistake(code):
        log.error("store_call_refused", function=function, sqlstate=code)
        return InternalError()
    return unavailable(function, code)


def unstorable() -> InvalidRequestError:
    """Return the error of a value that Postgres can't hold, which it isn't to repeat."""
    return InvalidRequestError("A value in the request can't be stored.")


def refused_key(function: str) -> StoreUnavailableError:
    """Return the error of a store that doesn't know the service's key any more, and log it."""
    log.error("service_key_refused", function=function)
    return StoreUnavailableError("The store refuses the service's key; nothing was lost.")


def unavailable(function: str, reason: str) -> StoreUnavailableError:
    """Return the error of a store that gave no whole, sensible answer, and log why."""
    log.warning("store_unavailable", function=function, reason=reason)
    error = StoreUnavailableError()
    error.reason = reason
    return error


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
