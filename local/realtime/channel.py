"""One socket's membership of one topic: what it may do, and what its frames mean."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

from local.realtime.authorization import BROADCAST, PRESENCE
from local.realtime.errors import (
    ChannelFaultError,
    ChannelShutdownError,
    DatabaseDownError,
    TokenError,
)
from local.realtime.hub import Broadcast
from local.realtime.jsontext import size_of
from local.realtime.limits import CONFIRM_SECONDS, PAYLOAD_BYTES
from local.realtime.replies import push, reply_error, reply_ok
from local.realtime.tokens import OPAQUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.realtime.frames import Codec, Frame, Ref, Wire
    from local.realtime.options import JoinOptions
    from local.realtime.services import Services
    from local.realtime.tokens import Identity


class Outlet(Protocol):
    """What a channel needs of its socket."""

    codec: Codec
    headers: Mapping[str, str]

    def send(self, frame: Frame) -> None:
        """Queue a frame."""

    def send_wire(self, data: Wire) -> None:
        """Queue an encoded frame."""


class Channel:
    """A member of a topic. Its methods raise ChannelShutdownError when it must go."""

    def __init__(
        self,
        outlet: Outlet,
        services: Services,
        *,
        topic: str,
        join_ref: Ref,
        options: JoinOptions,
        identity: Identity,
    ) -> None:
        self.topic = topic
        self.join_ref = join_ref
        self.is_private = options.is_private
        self.wants_own = options.wants_own
        self.wants_ack = options.wants_ack
        self.presence_key = options.presence_key
        self._wants_presence = options.wants_presence
        self._outlet = outlet
        self._services = services
        self._identity = identity
        self._token = options.token
        self._readable = frozenset[str]() if self.is_private else frozenset({BROADCAST, PRESENCE})
        self._sendable: dict[str, bool] = {}
        self.confirm_at = 0.0

    @property
    def codec(self) -> Codec:
        """The version that its socket speaks."""
        return self._outlet.codec

    @property
    def hears_broadcasts(self) -> bool:
        """Whether broadcasts may reach it."""
        return BROADCAST in self._readable

    @property
    def hears_presence(self) -> bool:
        """Whether presences may reach it and are wanted."""
        return self._wants_presence and PRESENCE in self._readable

    def send_wire(self, data: Wire) -> None:
        """Queue an encoded frame."""
        self._outlet.send_wire(data)

    async def authorize(self) -> None:
        """Ask anew what it may do; DatabaseDownError leaves everything as it was."""
        if self.is_private:
            readable = await self._services.authorizer.readable_extensions(
                self._identity, self.topic, headers=self._outlet.headers
            )
            if not readable & self._wanted():
                raise ChannelShutdownError(
                    "Unauthorized: You do not have permissions to read from this "
                    f"Channel topic: {self.topic}"
                )
            self._readable = readable
        self._sendable.clear()
        self._plan_confirmation()

    async def confirm(self) -> None:
        """Look again, later on, whether the token lives and the policies still agree."""
        try:
            self._identity.check_fresh()
            await self.authorize()
        except TokenError as exc:
            raise ChannelShutdownError(exc.text) from exc
        except DatabaseDownError:
            self._plan_confirmation()

    async def handle(self, frame: Frame) -> None:
        """Act on a member's frame; unknown events are ignored."""
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        if frame.event == "broadcast":
            await self._broadcast(frame, payload)
        elif frame.event == "presence":
            await self._presence(frame, payload)
        elif frame.event == "access_token":
            await self._refresh(payload.get("access_token"))

    def announce_presences(self) -> None:
        """Send the state of the room to a member that wants it."""
        if self.hears_presence:
            state = self._services.hub.presence_state(self)
            self._outlet.send(push(self.topic, "presence_state", state, join_ref=self.join_ref))

    async def _broadcast(self, frame: Frame, payload: Mapping[str, Any]) -> None:
        event = payload.get("event")
        if not isinstance(event, str):
            return
        body = payload.get("payload", {})
        if size_of(body) > PAYLOAD_BYTES:
            self._answer(frame, reply_error(frame, "Payload size exceeds limit"))
        elif await self._may_send(BROADCAST):
            broadcast = Broadcast(self.topic, event, body, self.is_private)
            self._services.hub.send(broadcast, sender=self)
            self._answer(frame, reply_ok(frame))

    def _answer(self, frame: Frame, reply: Frame) -> None:
        if self.wants_ack and frame.ref is not None:
            self._outlet.send(reply)

    async def _presence(self, frame: Frame, payload: Mapping[str, Any]) -> None:
        if not await self._may_send(PRESENCE):
            self._outlet.send(reply_error(frame))
            return
        if payload.get("event") == "track":
            self._track(payload.get("payload"))
        elif payload.get("event") == "untrack":
            self._services.hub.untrack(self)
        self._outlet.send(reply_ok(frame))

    def _track(self, state: Any) -> None:
        if not self._wants_presence:
            self._wants_presence = True
            self.announce_presences()
        self._services.hub.track(self, state if isinstance(state, dict) else {})

    async def _refresh(self, token: Any) -> None:
        if not isinstance(token, str) or not token or token == self._token:
            return
        if token.startswith(OPAQUE_PREFIX):
            return
        try:
            self._identity = self._services.tokens.identify(token)
            self._token = token
            await self.authorize()
        except TokenError as exc:
            raise ChannelShutdownError(exc.text) from exc
        except DatabaseDownError as exc:
            raise ChannelFaultError("a new token can't be judged now") from exc

    async def _may_send(self, extension: str) -> bool:
        if not self.is_private:
            return True
        if extension not in self._sendable:
            try:
                self._sendable[extension] = await self._services.authorizer.may_send(
                    self._identity, self.topic, extension, headers=self._outlet.headers
                )
            except DatabaseDownError:
                return False
        return self._sendable[extension]

    def _wanted(self) -> set[str]:
        return {BROADCAST, PRESENCE} if self._wants_presence else {BROADCAST}

    def _plan_confirmation(self) -> None:
        seconds = CONFIRM_SECONDS
        if self._identity.expires_at is not None:
            seconds = min(seconds, max(0.0, self._identity.expires_at - time.time()))
        self.confirm_at = asyncio.get_running_loop().time() + seconds
