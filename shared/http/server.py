"""How HTTP is served: uvicorn's own protocol, and a deadline for the head of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

log = structlog.get_logger(__name__)

HEAD_SECONDS: Final = 10.0


class ProtocolWithHeadDeadline(H11Protocol):
    """Ends a connection whose request head isn't whole HEAD_SECONDS after its first byte.

    uvicorn's timeout counts only while nothing comes: a head that comes a byte at a time would
    hold its connection for ever. A connection that has sent nothing has uvicorn's timeout.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of a connection that sends nothing."""
        super().connection_made(transport)
        self._set_deadline(self.timeout_keep_alive, self._end)

    def data_received(self, data: bytes) -> None:
        """Read what came; a head that it began must be whole in time."""
        if self._head_deadline is not None and not self._has_part_of_a_head():
            self._clear_deadline()
        super().data_received(data)

    def handle_events(self) -> None:
        """Handle what is whole; start the clock where a head is begun, stop it where none is."""
        super().handle_events()
        if not self._has_part_of_a_head():
            self._clear_deadline()
        elif self._head_deadline is None:
            self._set_deadline(HEAD_SECONDS, self._refuse)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._clear_deadline()
        super().connection_lost(exc)

    def _has_part_of_a_head(self) -> bool:
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def _set_deadline(self, seconds: float, end: Callable[[], None]) -> None:
        self._head_deadline = self.loop.call_later(seconds, end)

    def _clear_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _refuse(self) -> None:
        log.info("request_head_too_slow")
        if self.conn.our_state is h11.IDLE:
            head = h11.Response(
                status_code=408, headers=[("content-length", "0"), ("connection", "close")]
            )
            self.transport.write(self.conn.send(head) or b"")
        self._end()

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
