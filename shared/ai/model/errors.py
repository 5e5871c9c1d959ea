"""What a provider's exception means to the user: one place, by class and HTTP status.

The exception's own text is never passed on: it may hold a key, a URL or the upstream body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UserError,
)

from ..results import engine_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocol import EngineError, ErrorType

MAX_PAUSE: Final = 2.0  # seconds that a user waits for a provider that asks for patience
PAUSE: Final = 0.3

_BY_STATUS: Final[Mapping[int, ErrorType]] = {
    401: "misconfigured",
    402: "misconfigured",
    403: "misconfigured",
    404: "misconfigured",
    408: "timeout",
    429: "rate_limited",
}

# The first class that fits decides, so a subclass stands before its base.
_BY_CLASS: Final[tuple[tuple[type[Exception], ErrorType], ...]] = (
    (ContentFilterError, "refused"),
    (ModelRequestTimeout, "timeout"),
    (ModelTimeoutError, "timeout"),
    (ModelRateLimitError, "rate_limited"),
    (ModelQuotaExceededError, "rate_limited"),
    (ModelAuthenticationError, "misconfigured"),
    (ModelNotFoundError, "misconfigured"),
    (ModelUnavailableError, "provider_unavailable"),
    (ModelServerError, "provider_unavailable"),
    (ModelConnectionError, "provider_unavailable"),
    (UserError, "misconfigured"),
    (httpx2.TimeoutException, "timeout"),
    (httpx2.TransportError, "provider_unavailable"),
    (TimeoutError, "timeout"),
    (ConnectionError, "provider_unavailable"),
)


def error_for(exc: Exception) -> EngineError:
    """Return the error to show for an exception out of a model call."""
    return engine_error(_type_for(exc))


def pause_before_asking_again(exc: Exception) -> float | None:
    """Return how many seconds to wait before the provider is asked again; None for never."""
    if _type_for(exc) not in {"provider_unavailable", "rate_limited"}:
        return None
    pause = getattr(exc, "retry_after", None) or PAUSE
    return pause if pause <= MAX_PAUSE else None


def _type_for(exc: Exception) -> ErrorType:
    if isinstance(exc, ModelHTTPError):
        if exc.status_code in _BY_STATUS:
            return _BY_STATUS[exc.status_code]
        if exc.status_code >= 500:
            return "provider_unavailable"
    for error_class, error_type in _BY_CLASS:
        if isinstance(exc, error_class):
            return error_type
    return "provider_error"
