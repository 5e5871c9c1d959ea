"""One socket's membership of one topic: what it may do, and for how long."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.realtime.errors import DatabaseDownError, RefusedError
from local.realtime.frames import TOPIC_PREFIX, Frame, Ref, reply, size_of
from local.realtime.hub import PAYLOAD_BYTES, Broadcast
from local.realtime.identity import OPAQUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.realtime.identity import Identity
    from local.realtime.services import Services

CONFIRM_SECONDS = 300.0  # how often a member's token and permissions are looked at again


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """What a client asks for when it joins. Nonsense becomes the default, as in hosted projects."""

    topic: str
    is_private: bool
    wants_ack: bool
    token: str | None

    @classmethod
    def parse(cls, frame: Frame) -> JoinOptions:
        """Read a join; raise RefusedError where it names no topic."""
        topic = frame.topic.removeprefix(TOPIC_PREFIX)
        if not topic or topic == frame.topic:
            raise RefusedError("TopicNameRequired", "You must provide a topic name")
        config = _object(_object(frame.payload).get("config"))
        return cls(
            topic,
            is_private=_flag(config.get("private")),
            wants_ack=_flag(_object(config.get("broadcast")).get("ack")),
            token=_token(_object(frame.payload).get("access_token")),
        )


class Channel:
    """A member of a topic. Its methods raise RefusedError when it must go."""

    def __init__(
        self,
        options: JoinOptions,
        services: Services,
        *,
        join_ref: Ref,
        key_identity: Identity,
        deliver: Callable[[Frame], None],
        on_refused: Callable[[Channel, RefusedError], None],
    ) -> None:
        self.topic = options.topic
        self.is_private = options.is_private
        self.join_ref = join_ref
        self.confirm_at = 0.0
        self.deliver = deliver
        self._on_refused = on_refused
        self._wants_ack = options.wants_ack
        self._services = services
        self._token = options.token
        self._identity = services.tokens.identify(options.token) if options.token else key_identity
        self._may_send: bool | None = None

    async def authorize(self) -> None:
        """Ask what it may do; DatabaseDownError leaves everything as it was."""
        self._identity.check_fresh()
        if self.is_private:
            if not await self._services.policies.may_listen(self._identity, self.topic):
                raise RefusedError(
                    "Unauthorized",
                    f"You do not have permissions to read from this Channel topic: {self.topic}",
                )
            self._may_send = None
        self._plan_confirmation()

    def shut_down(self, reason: RefusedError) -> None:
        """End the membership, though nobody has asked for anything."""
        self._on_refused(self, reason)

    async def confirm(self) -> None:
        """Look again, later on, whether the token lives and the policies still agree."""
        try:
            await self.authorize()
        except DatabaseDownError:
            self._plan_confirmation()

    async def refresh(self, payload: Any) -> None:
        """Go on with a new token; null, an opaque key and the same token are none."""
        token = _token(_object(payload).get("access_token"))
        if token is not None and token != self._token:
            self._identity = self._services.tokens.identify(token)
            self._token = token
            await self.authorize()

    async def broadcast(self, frame: Frame) -> None:
        """Send to the others on the topic. What the policies deny is dropped without an answer."""
        message = _object(frame.payload)
        event, payload = message.get("event"), message.get("payload", {})
        if not isinstance(event, str):
            return
        if size_of(payload) > PAYLOAD_BYTES:
            self._acknowledge(reply(frame, "error", reason="Payload size exceeds limit"))
        elif await self._is_allowed_to_send():
            broadcast = Broadcast(self.topic, event, payload, self.is_private)
            self._services.hub.send(broadcast, sender=self)
            self._acknowledge(reply(frame, "ok"))

    def _acknowledge(self, response: Frame) -> None:
        if self._wants_ack and response.ref is not None:
            self.deliver(response)

    async def _is_allowed_to_send(self) -> bool:
        if not self.is_private:
            return True
        if self._may_send is None:
            try:
                self._may_send = await self._services.policies.may_send(self._identity, self.topic)
            except DatabaseDownError:
                return False
        return self._may_send

    def _plan_confirmation(self) -> None:
        seconds = CONFIRM_SECONDS
        if self._identity.expires_at is not None:
            seconds = min(seconds, max(0.0, self._identity.expires_at - time.time()))
        self.confirm_at = asyncio.get_running_loop().time() + seconds


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _flag(value: Any) -> bool:
    return value is True or value == "true"


def _token(value: Any) -> str | None:
    is_token = isinstance(value, str) and value and not value.startswith(OPAQUE_PREFIX)
    return value if is_token else None
