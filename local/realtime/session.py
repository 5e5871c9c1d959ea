"""The channels of one connection: joins, leaves, and what puts a member out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from local.realtime.channel import Outlet
from local.realtime.errors import ChannelFaultError, ChannelShutdownError, JoinRefusedError
from local.realtime.joining import join
from local.realtime.limits import CHANNELS_PER_CONNECTION, CONNECTIONS, JOINS_PER_SECOND
from local.realtime.rate import RateLimit
from local.realtime.replies import closed, errored, reply_error, reply_ok, system

if TYPE_CHECKING:
    from local.realtime.channel import Channel
    from local.realtime.frames import Frame
    from local.realtime.services import Services
    from local.realtime.tokens import Identity


class SessionOutlet(Outlet, Protocol):
    """What a session needs of its socket."""

    def finish(self) -> None:
        """Close the connection after what is queued."""


class Session:
    """Acts on the frames of one connection, one after the other."""

    def __init__(self, outlet: SessionOutlet, services: Services, *, identity: Identity) -> None:
        self._outlet = outlet
        self._services = services
        self._identity = identity
        self._channels: dict[str, Channel] = {}
        self._joins = RateLimit(JOINS_PER_SECOND)

    async def act(self, frame: Frame) -> None:
        """Do what a frame asks for."""
        if frame.event == "phx_join":
            await self._join(frame)
        elif frame.event == "phx_leave":
            self._leave(frame)
        else:
            await self._pass_on(frame)

    async def confirm_due(self) -> None:
        """Put out the members whose token has expired or whose permission is gone."""
        now = asyncio.get_running_loop().time()
        for topic, channel in list(self._channels.items()):
            if channel.confirm_at <= now:
                try:
                    await channel.confirm()
                except ChannelShutdownError as exc:
                    self._shut_down(topic, channel, str(exc))

    def next_confirmation(self) -> float | None:
        """Say when the next member is to be looked at, in the event loop's time."""
        return min((channel.confirm_at for channel in self._channels.values()), default=None)

    def leave_all(self) -> None:
        """Leave every channel without a word: the connection is gone."""
        for topic in list(self._channels):
            self._drop(topic)

    async def _join(self, frame: Frame) -> None:
        self._drop(frame.topic)
        try:
            self._check_limits()
            self._channels[frame.topic] = await join(
                self._outlet, frame, self._services, key_identity=self._identity
            )
        except JoinRefusedError as exc:
            self._outlet.send(reply_error(frame, str(exc)))
            if exc.disconnects:
                self._outlet.finish()

    def _check_limits(self) -> None:
        if not self._joins.allows_now():
            raise JoinRefusedError(
                "ClientJoinRateLimitReached: Too many joins per second", disconnects=True
            )
        if self._services.connections > CONNECTIONS:
            raise JoinRefusedError("ConnectionRateLimitReached: Too many connected users")
        if len(self._channels) >= CHANNELS_PER_CONNECTION:
            raise JoinRefusedError("ChannelRateLimitReached: Too many channels")

    def _leave(self, frame: Frame) -> None:
        channel = self._channels.get(frame.topic)
        self._outlet.send(reply_ok(frame))
        if channel is not None and not _is_stale(frame, channel):
            self._drop(frame.topic)
            self._outlet.send(closed(frame.topic, channel.join_ref))

    async def _pass_on(self, frame: Frame) -> None:
        channel = self._channels.get(frame.topic)
        if channel is None:
            self._outlet.send(reply_error(frame, "unmatched topic"))
        elif not _is_stale(frame, channel):
            try:
                await channel.handle(frame)
            except ChannelShutdownError as exc:
                self._shut_down(frame.topic, channel, str(exc))
            except ChannelFaultError:
                self._drop(frame.topic)
                self._outlet.send(errored(frame.topic, channel.join_ref))

    def _shut_down(self, topic: str, channel: Channel, message: str) -> None:
        self._drop(topic)
        ref = channel.join_ref
        self._outlet.send(system(channel.topic, "error", message, extension="system", join_ref=ref))
        self._outlet.send(closed(topic, ref))

    def _drop(self, topic: str) -> None:
        channel = self._channels.pop(topic, None)
        if channel is not None:
            self._services.hub.leave(channel)


def _is_stale(frame: Frame, channel: Channel) -> bool:
    return frame.join_ref is not None and frame.join_ref != channel.join_ref
