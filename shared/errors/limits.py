"""What its user has no more of for now."""

from __future__ import annotations

from typing import Any

from .base import AppError


class TooManyTurnsError(AppError):
    """Too many turns."""

    code = "too_many_turns"
    status = 429


class TooManyRequestsError(AppError):
    """Too many of your requests are under way; wait until one has ended."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str | None = None, **more: Any) -> None:
        super().__init__(message, **{"retry_after": 2, **more})


class TooManyTokensError(AppError):
    """Too many tokens this day."""

    code = "too_many_tokens"
    status = 429


class TooManyBytesError(AppError):
    """Too many bytes written this day."""

    code = "too_many_bytes"
    status = 429
