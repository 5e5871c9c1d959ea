"""The server's errors.

RealtimeError
├── FrameError              the socket's bytes make no sense: it is closed
├── HttpError               a request is answered with a status and a body
└── RefusedError            a code and a text, for the reply to a join or the end of a membership
    ├── TokenError          the token is not accepted
    └── DatabaseDownError   Postgres can't be asked now
"""

from __future__ import annotations

from typing import Any


class RealtimeError(Exception):
    """Base of everything that is raised on purpose here."""


class FrameError(RealtimeError):
    """The frame can't be read."""


class HttpError(RealtimeError):
    """The request can't be served."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class RefusedError(RealtimeError):
    """The caller may not become or stay a member."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class TokenError(RefusedError):
    """The token is not accepted."""


class DatabaseDownError(RefusedError):
    """The database can't be asked now."""
