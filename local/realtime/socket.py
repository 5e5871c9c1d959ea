"""One websocket: reads, acts and writes in three tasks, so that none of them holds up another."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect, WebSocketState

from local.realtime.errors import FrameError
from local.realtime.limits import CLOSE_SECONDS, INBOX_FRAMES, OUTBOX_BYTES, OUTBOX_FRAMES
from local.realtime.outbox import Outbox
from local.realtime.replies import reply_ok
from local.realtime.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.websockets import WebSocket

    from local.realtime.frames import Codec, Frame, Wire
    from local.realtime.services import Services
    from local.realtime.tokens import Identity

HEARTBEAT_TOPIC = "phoenix"

_DONE, _BAD_DATA, _FAILED, _TOO_SLOW = 1000, 1007, 1011, 1013

logger = logging.getLogger(__name__)


class Socket:
    """A client's connection, in its protocol version."""

    def __init__(
        self, websocket: WebSocket, services: Services, *, codec: Codec, identity: Identity
    ) -> None:
        self.codec = codec
        self.headers: Mapping[str, str] = dict(websocket.headers)
        self._websocket = websocket
        self._services = services
        self._session = Session(self, services, identity=identity)
        self._inbox: asyncio.Queue[Frame] = asyncio.Queue(INBOX_FRAMES)
        self._outbox = Outbox(frames=OUTBOX_FRAMES, octets=OUTBOX_BYTES)

    async def run(self) -> None:
        """Serve the connection until either side ends it."""
        self._services.connections += 1
        steps = (self._read(), self._work(), self._write(), self._outbox.overflow())
        tasks = [asyncio.create_task(step) for step in steps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code = _close_code(tasks)
        finally:
            self._services.connections -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._session.leave_all()
        await self._close(code)

    def send(self, frame: Frame) -> None:
        """Queue a frame, if this version can say it."""
        data = self.codec.encode(frame)
        if data is not None:
            self._outbox.put(data)

    def send_wire(self, data: Wire) -> None:
        """Queue an encoded frame."""
        self._outbox.put(data)

    def finish(self) -> None:
        """Close the connection after what is queued."""
        self._outbox.finish()

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            frame = self.codec.decode(message["bytes"] if text is None else text)
            if frame.topic == HEARTBEAT_TOPIC:
                self.send(reply_ok(frame))
            else:
                await self._inbox.put(frame)

    async def _work(self) -> None:
        while True:
            await self._session.confirm_due()
            frame = await self._next_frame()
            if frame is not None:
                await self._session.act(frame)

    async def _next_frame(self) -> Frame | None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._session.next_confirmation()):
                return await self._inbox.get()
        return None

    async def _write(self) -> None:
        while (data := await self._outbox.get()) is not None:
            if isinstance(data, str):
                await self._websocket.send_text(data)
            else:
                await self._websocket.send_bytes(data)

    async def _close(self, code: int) -> None:
        if self._websocket.client_state is WebSocketState.DISCONNECTED:
            return
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code)


def _close_code(tasks: Sequence[asyncio.Task[None]]) -> int:
    for task in tasks:
        error = task.exception() if task.done() else None
        if isinstance(error, FrameError):
            return _BAD_DATA
        if error is not None and not isinstance(error, WebSocketDisconnect):
            logger.error("A connection failed", exc_info=error)
            return _FAILED
    return _TOO_SLOW if tasks[-1].done() else _DONE
