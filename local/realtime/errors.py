"""The server's errors.

RealtimeError
├── FrameError              the socket's bytes make no sense: it is closed
├── TokenError              code and text for a join reply, a 401, a shutdown
├── JoinRefusedError        a join is answered with its reason
├── ChannelShutdownError    a member is told why, and put out
├── ChannelFaultError       a member is asked to join again
└── DatabaseDownError       Postgres can't be asked now
"""

from __future__ import annotations


class RealtimeError(Exception):
    """Base of everything that is raised on purpose here."""


class FrameError(RealtimeError):
    """The frame can't be read."""


class TokenError(RealtimeError):
    """The token is not accepted."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class JoinRefusedError(RealtimeError):
    """The join is refused; the message is the reason that the client sees."""

    def __init__(self, reason: str, *, disconnects: bool = False) -> None:
        super().__init__(reason)
        self.disconnects = disconnects


class ChannelShutdownError(RealtimeError):
    """The member must go; the message says why."""


class ChannelFaultError(RealtimeError):
    """The member must join again."""


class DatabaseDownError(RealtimeError):
    """The database can't be asked now."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
