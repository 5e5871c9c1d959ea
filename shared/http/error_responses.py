"""What an operation may answer instead of its result, for the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from ..errors import (
    AppError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
    RequestTooSlowError,
    SchemaBehindError,
    SchemaNotServedError,
    StoreUnavailableError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedMediaTypeError,
)
from ..models.base import ErrorResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT: Final = {"schema": {"type": "string"}}
REQUEST_ID: Final = {"description": "The request's id in the log.", "required": True, **TEXT}
RETRY_AFTER: Final = {
    "description": "When to ask again, in seconds, if that can be said.",
    "schema": {"type": "integer", "minimum": 1},
}
HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "How to sign in: `Bearer`.", **TEXT}},
    405: {"Allow": {"description": "What this address does answer.", **TEXT}},
}

ANYWHERE: Final[tuple[type[AppError], ...]] = (
    InvalidRequestError,
    UnauthorizedError,
    ForbiddenError,
    NotFoundError,
    MethodNotAllowedError,
    RequestTooSlowError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
    TooManyRequestsError,
    InternalError,
    StoreUnavailableError,
    SchemaBehindError,
    SchemaNotServedError,
    UnavailableError,
)


def error_responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the documented answers of an operation that may fail with these, or as any may."""
    by_status = attrgetter("status")
    possible = sorted((*errors, *ANYWHERE), key=by_status)
    return {status: _response(status, found) for status, found in groupby(possible, by_status)}


def _response(status: int, errors: Iterable[type[AppError]]) -> dict[str, Any]:
    bodies = [error().body() for error in errors]
    return {
        "model": ErrorResponse,
        "description": f"{HTTPStatus(status).phrase}: {_words(bodies)}.",
        "headers": {
            "x-request-id": REQUEST_ID,
            **({"Retry-After": RETRY_AFTER} if status in (408, 409, 429, 503) else {}),
            **HEADERS.get(status, {}),
        },
        "content": {
            "application/json": {
                "examples": {
                    body["code"]: {"summary": body["message"], "value": body} for body in bodies
                }
            }
        },
    }


def _words(bodies: list[dict[str, Any]]) -> str:
    return ", ".join(f"`{body['code']}`" for body in bodies)
