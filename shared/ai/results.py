"""The sentences that users see when a run fails, and the results made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .protocol import EngineError, EngineResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protocol import ErrorType, Usage

SENTENCES: Final[Mapping[ErrorType, str]] = {
    "timeout": "The AI took too long to answer. Please try again.",
    "rate_limited": "The AI provider is limiting requests right now. Please try again later.",
    "refused": "The AI provider declined to answer this request.",
    "provider_unavailable": "The AI provider could not be reached. Please try again.",
    "provider_error": "The AI could not finish its answer. Please try again.",
    "empty_reply": "The AI returned an empty answer. Please try again.",
    "cancelled": "The reply was stopped.",
    "interrupted": "The reply was interrupted before it was complete.",
    "misconfigured": "The AI is not set up correctly on the server. Its operator has to fix this.",
}


def engine_error(error_type: ErrorType) -> EngineError:
    """Return the error for this type, with its fixed sentence."""
    return EngineError(type=error_type, message=SENTENCES[error_type])


def failed_result(
    error: EngineError,
    *,
    engine: str,
    partial: str = "",
    usage: Usage | None = None,
    reasoning: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> EngineResult:
    """Return a failure that keeps the text streamed so far, or else says what went wrong."""
    message = partial if partial.strip() else error.message
    return EngineResult(
        success=False,
        message=message,
        error=error,
        usage=usage,
        engine=engine,
        reasoning=reasoning,
        metadata=dict(metadata or {}),
    )
