"""Who is on which topic, and the delivery to them. It never waits: each socket has a queue.

What is sent and what is delivered counts towards the project's limit. Once that is passed, whoever
is delivered a message loses its channel.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from local.realtime.errors import RefusedError
from local.realtime.frames import TOPIC_PREFIX, Frame

if TYPE_CHECKING:
    from local.realtime.rate import Rate

PAYLOAD_BYTES = 256 * 1024  # the hosted free plan's limit


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A message for everybody on a topic; `row_id` is that of one that SQL has sent."""

    topic: str
    event: str
    payload: Any
    is_private: bool
    row_id: str | None = None

    def frame(self) -> Frame:
        """Frame it for its receivers."""
        payload = {"type": "broadcast", "event": self.event, "payload": self.payload}
        if self.row_id is not None:
            payload["meta"] = {"id": self.row_id}
        return Frame(TOPIC_PREFIX + self.topic, "broadcast", payload)


class Member(Protocol):
    """What the hub needs of a channel."""

    @property
    def topic(self) -> str:
        """The topic without its prefix."""

    @property
    def is_private(self) -> bool:
        """A public and a private topic of one name are two topics."""

    def deliver(self, frame: Frame) -> None:
        """Queue a frame; must not wait or raise."""

    def shut_down(self, reason: RefusedError) -> None:
        """End the membership, and say why; must not wait or raise."""


class Hub:
    """The members of all topics of this server."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.has_members = asyncio.Event()
        self._members: dict[tuple[str, bool], dict[Member, None]] = {}

    def enter(self, member: Member) -> None:
        """Let a member receive what is sent from now on."""
        self._members.setdefault((member.topic, member.is_private), {})[member] = None
        self.has_members.set()

    def leave(self, member: Member) -> None:
        """Take a member out; twice is fine."""
        key = (member.topic, member.is_private)
        members = self._members.get(key, {})
        members.pop(member, None)
        if not members:
            self._members.pop(key, None)
        if not self._members:
            self.has_members.clear()

    def send(self, broadcast: Broadcast, *, sender: Member | None = None) -> None:
        """Deliver to everybody on the topic but the sender."""
        if broadcast.row_id is None:  # of what SQL sends, only the deliveries count
            self.rate.count()
        frame = broadcast.frame()
        members = self._members.get((broadcast.topic, broadcast.is_private), {})
        for member in [member for member in members if member is not sender]:
            member.deliver(frame)
            self.rate.count()
            if self.rate.is_exceeded:
                member.shut_down(too_many_messages())


def too_many_messages() -> RefusedError:
    """Return why channels are closed beyond the limit."""
    return RefusedError("MessagePerSecondRateLimitReached", "Too many messages per second")
