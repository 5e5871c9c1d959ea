"""Rooms: who receives what, and who is present."""

from __future__ import annotations

import json
from typing import Any

from local.realtime.frames import CODECS, Codec, Wire
from local.realtime.hub import Broadcast, Hub


class FakeMember:
    def __init__(self, topic: str = "a", *, is_private: bool = False, **flags: Any) -> None:
        self.topic = topic
        self.is_private = is_private
        self.wants_own = flags.get("wants_own", False)
        self.presence_key = flags.get("presence_key", "key")
        self.hears_broadcasts = flags.get("hears_broadcasts", True)
        self.hears_presence = flags.get("hears_presence", True)
        self.codec: Codec = CODECS[flags.get("version", "2.0.0")]
        self.received: list[Wire] = []

    def send_wire(self, data: Wire) -> None:
        self.received.append(data)

    def payloads(self) -> list[Any]:
        return [json.loads(data)[4] for data in self.received]


def _hub(*members: FakeMember) -> Hub:
    hub = Hub()
    for member in members:
        hub.enter(member)
    return hub


def test_send_reaches_the_members_of_that_room_alone() -> None:
    """Another topic, and the private namesake, hear nothing."""
    member, other, private = FakeMember(), FakeMember("b"), FakeMember(is_private=True)
    _hub(member, other, private).send(Broadcast("a", "e", {"n": 1}, is_private=False))
    assert member.payloads() == [{"type": "broadcast", "event": "e", "payload": {"n": 1}}]
    assert other.received == private.received == []


def test_send_skips_its_sender_unless_that_wants_its_own() -> None:
    """`self` decides."""
    silent, echoing = FakeMember(), FakeMember(wants_own=True)
    hub = _hub(silent, echoing)
    hub.send(Broadcast("a", "e", {}, is_private=False), sender=silent)
    hub.send(Broadcast("a", "e", {}, is_private=False), sender=echoing)
    assert (len(silent.received), len(echoing.received)) == (1, 2)


def test_send_skips_who_may_not_hear_broadcasts() -> None:
    """A member that may only see presences gets no broadcast."""
    deaf = FakeMember(hears_broadcasts=False)
    _hub(deaf).send(Broadcast("a", "e", {}, is_private=False))
    assert deaf.received == []


def test_send_encodes_for_each_version() -> None:
    """Raw bytes go to version 2 alone."""
    old, modern = FakeMember(version="1.0.0"), FakeMember()
    _hub(old, modern).send(Broadcast("a", "e", b"\xff", is_private=False))
    assert old.received == []
    assert isinstance(modern.received[0], bytes)


def test_a_member_that_left_hears_nothing() -> None:
    """Leaving twice is fine."""
    member = FakeMember()
    hub = _hub(member)
    hub.leave(member)
    hub.leave(member)
    hub.send(Broadcast("a", "e", {}, is_private=False))
    assert member.received == []


def test_track_replaces_the_state_before() -> None:
    """A second track announces the new state and takes the old one back."""
    member = FakeMember(presence_key="ada")
    hub = _hub(member)
    hub.track(member, {"mood": "fine"})
    hub.track(member, {"mood": "tired"})
    first, second = member.payloads()
    assert second["leaves"] == first["joins"]
    assert second["joins"]["ada"]["metas"][0]["mood"] == "tired"
    assert hub.presence_state(member) == second["joins"]


def test_members_may_share_a_key() -> None:
    """Two tabs of one user are one key with two states."""
    first, second = FakeMember(presence_key="ada"), FakeMember(presence_key="ada")
    hub = _hub(first, second)
    hub.track(first, {"tab": 1})
    hub.track(second, {"tab": 2})
    hub.leave(first)
    metas = hub.presence_state(second)["ada"]["metas"]
    assert [meta["tab"] for meta in metas] == [2]
    assert second.payloads()[-1]["leaves"]["ada"]["metas"][0]["tab"] == 1


def test_presence_is_told_to_watchers_alone() -> None:
    """Untracking without tracking tells nobody anything."""
    watcher, other = FakeMember(), FakeMember(hears_presence=False)
    hub = _hub(watcher, other)
    hub.untrack(other)
    hub.track(other, {})
    assert len(watcher.received) == 1
    assert other.received == []
