"""One websocket: its channels, what its frames ask for, and what it is sent."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect, WebSocketState

from local.realtime.channel import Channel, JoinOptions
from local.realtime.errors import FrameError, RefusedError
from local.realtime.frames import TOPIC_PREFIX, Frame, decode, encode, reply

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from local.realtime.identity import Identity
    from local.realtime.services import Services

HEARTBEAT_TOPIC = "phoenix"
OUTBOX_FRAMES = 1_000  # more than these wait for no reader: it has stalled
CLOSE_SECONDS = 1.0

_DONE, _BAD_DATA, _FAILED, _TOO_SLOW = 1000, 1007, 1011, 1013

logger = logging.getLogger(__name__)


class Connection:
    """A client's connection, in its version of the protocol."""

    def __init__(
        self, websocket: WebSocket, services: Services, *, version: str, identity: Identity
    ) -> None:
        self._websocket = websocket
        self._services = services
        self._version = version
        self._identity = identity
        self._channels: dict[str, Channel] = {}
        self._outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX_FRAMES)
        self._overflowed = asyncio.Event()

    async def run(self) -> None:
        """Serve the connection until either side ends it; reading never waits for writing."""
        steps = (self._act(), self._write(), self._overflowed.wait())
        tasks = [asyncio.create_task(step) for step in steps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for topic in list(self._channels):
                self._drop(topic)
        await self._close(self._close_code(outcomes[0]))

    def send(self, frame: Frame) -> None:
        """Queue a frame, or end a connection that takes none."""
        try:
            self._outbox.put_nowait(encode(frame, self._version))
        except asyncio.QueueFull:
            self._overflowed.set()

    async def _act(self) -> None:
        """Act on one frame after the other, and between them on what is due."""
        while True:
            await self._confirm_members()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_confirmation()):
                    frame = await self._read()
                await self._handle(frame)

    async def _read(self) -> Frame:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        text = message.get("text")
        return decode(message["bytes"] if text is None else text, self._version)

    async def _write(self) -> None:
        while True:
            await self._websocket.send_text(await self._outbox.get())

    async def _handle(self, frame: Frame) -> None:
        if frame.topic == HEARTBEAT_TOPIC:
            self.send(reply(frame, "ok"))
        elif frame.event == "phx_join":
            await self._join(frame)
        elif frame.event == "phx_leave":
            self._leave(frame)
        else:
            await self._pass_on(frame)

    async def _join(self, frame: Frame) -> None:
        """Make the client a member; a second join of a topic replaces the first."""
        self._drop(frame.topic)
        try:
            channel = Channel(
                JoinOptions.parse(frame),
                self._services,
                join_ref=frame.ref if frame.join_ref is None else frame.join_ref,
                key_identity=self._identity,
                deliver=self.send,
                on_refused=self._shut_down,
            )
            await channel.authorize()
        except RefusedError as exc:
            self.send(reply(frame, "error", reason=str(exc)))
            return
        self._channels[frame.topic] = channel
        # Answered first and entered then, with nothing between: no broadcast precedes the answer.
        self.send(reply(frame, "ok", postgres_changes=[]))
        self._services.hub.enter(channel)

    def _leave(self, frame: Frame) -> None:
        self.send(reply(frame, "ok"))
        channel = self._member(frame)
        if channel is not None:
            self._drop(frame.topic)
            self._say_closed(frame.topic, channel)

    async def _pass_on(self, frame: Frame) -> None:
        """Let a member do what it asks for; unknown events are ignored."""
        channel = self._member(frame)
        if channel is None:
            return
        try:
            if frame.event == "broadcast":
                await channel.broadcast(frame)
            elif frame.event == "access_token":
                await channel.refresh(frame.payload)
        except RefusedError as exc:
            self._shut_down(channel, exc)

    def _member(self, frame: Frame) -> Channel | None:
        """Return the channel that a frame is for; a frame of an earlier join is for none."""
        channel = self._channels.get(frame.topic)
        is_stale = channel and frame.join_ref is not None and frame.join_ref != channel.join_ref
        return None if is_stale else channel

    async def _confirm_members(self) -> None:
        now = asyncio.get_running_loop().time()
        for channel in list(self._channels.values()):
            if channel.confirm_at <= now:
                try:
                    await channel.confirm()
                except RefusedError as exc:
                    self._shut_down(channel, exc)

    def _next_confirmation(self) -> float | None:
        return min((channel.confirm_at for channel in self._channels.values()), default=None)

    def _shut_down(self, channel: Channel, reason: RefusedError) -> None:
        topic = TOPIC_PREFIX + channel.topic
        self._drop(topic)
        payload = {"extension": "system", "status": "error"}
        payload |= {"message": reason.text, "channel": channel.topic}
        self.send(Frame(topic, "system", payload, join_ref=channel.join_ref))
        self._say_closed(topic, channel)

    def _say_closed(self, topic: str, channel: Channel) -> None:
        ref = channel.join_ref
        self.send(Frame(topic, "phx_close", {}, ref=ref, join_ref=ref))

    def _drop(self, topic: str) -> None:
        channel = self._channels.pop(topic, None)
        if channel is not None:
            self._services.hub.leave(channel)

    def _close_code(self, outcome: object) -> int:
        """Choose the code by how acting on frames ended."""
        if self._overflowed.is_set():
            return _TOO_SLOW
        if isinstance(outcome, FrameError):
            return _BAD_DATA
        if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
            logger.error("A connection failed", exc_info=outcome)
            return _FAILED
        return _DONE

    async def _close(self, code: int) -> None:
        if self._websocket.client_state is WebSocketState.DISCONNECTED:
            return
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code)
