"""Who is in which room, and the fan-out to them. It never waits: a member's socket has a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from local.realtime.presence import Presence
from local.realtime.replies import push

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.realtime.frames import Codec, Frame, Wire
    from local.realtime.presence import Meta


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A message for everybody on a topic; a payload of bytes is a raw one."""

    topic: str
    event: str
    payload: Any
    is_private: bool
    meta: Mapping[str, Any] | None = None

    def frame(self) -> Frame:
        """Frame it for its receivers."""
        payload = {"type": "broadcast", "event": self.event, "payload": self.payload}
        if self.meta is not None:
            payload["meta"] = dict(self.meta)
        return push(self.topic, "broadcast", payload)


class Member(Protocol):
    """What the hub needs of a channel."""

    topic: str
    is_private: bool
    wants_own: bool
    presence_key: str

    @property
    def codec(self) -> Codec:
        """The version that this member speaks."""

    @property
    def hears_broadcasts(self) -> bool:
        """Whether broadcasts may reach it."""

    @property
    def hears_presence(self) -> bool:
        """Whether presences may reach it."""

    def send_wire(self, data: Wire) -> None:
        """Queue an encoded frame; must not wait or raise."""


class Room:
    """The members of one topic. A public and a private topic of one name are two rooms."""

    def __init__(self) -> None:
        self.members: dict[Member, None] = {}
        self.presence = Presence()


class Hub:
    """All rooms of this server."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[str, bool], Room] = {}

    def enter(self, member: Member) -> None:
        """Let a member receive what is sent from now on."""
        self._rooms.setdefault(_key(member), Room()).members[member] = None

    def leave(self, member: Member) -> None:
        """Take a member out, its presence too; twice is fine."""
        room = self._rooms.get(_key(member))
        if room is None:
            return
        room.members.pop(member, None)
        self.untrack(member)
        if not room.members:
            self._rooms.pop(_key(member), None)

    def send(self, broadcast: Broadcast, *, sender: Member | None = None) -> None:
        """Deliver to everybody who may hear it, to its sender only on request."""
        room = self._rooms.get((broadcast.topic, broadcast.is_private))
        if room is None:
            return
        receivers = [
            member
            for member in room.members
            if member.hears_broadcasts and (member is not sender or member.wants_own)
        ]
        _fan_out(receivers, broadcast.frame())

    def presence_state(self, member: Member) -> Mapping[str, Any]:
        """Return who is tracked in the member's room."""
        room = self._rooms.get(_key(member))
        return room.presence.state() if room else {}

    def track(self, member: Member, payload: Meta) -> None:
        """Set a member's presence and announce it."""
        room = self._rooms.get(_key(member))
        if room is not None and member in room.members:
            diff = room.presence.track(member, member.presence_key, payload)
            _announce(room, member.topic, diff)

    def untrack(self, member: Member) -> None:
        """Take a member's presence back and announce it."""
        room = self._rooms.get(_key(member))
        diff = room.presence.untrack(member) if room else None
        if room is not None and diff is not None:
            _announce(room, member.topic, diff)


def _key(member: Member) -> tuple[str, bool]:
    return member.topic, member.is_private


def _announce(room: Room, topic: str, diff: Mapping[str, Any]) -> None:
    watchers = [member for member in room.members if member.hears_presence]
    _fan_out(watchers, push(topic, "presence_diff", diff))


def _fan_out(members: Iterable[Member], frame: Frame) -> None:
    encoded: dict[Codec, Wire | None] = {}
    for member in members:
        if member.codec not in encoded:
            encoded[member.codec] = member.codec.encode(frame)
        data = encoded[member.codec]
        if data is not None:
            member.send_wire(data)
