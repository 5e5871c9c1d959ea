"""Topics: who receives what."""

from __future__ import annotations

from local.realtime.frames import Frame
from local.realtime.hub import Broadcast, Hub


class FakeMember:
    def __init__(self, topic: str = "a", *, is_private: bool = False) -> None:
        self.topic = topic
        self.is_private = is_private
        self.received: list[Frame] = []

    def deliver(self, frame: Frame) -> None:
        self.received.append(frame)


def _hub(*members: FakeMember) -> Hub:
    hub = Hub()
    for member in members:
        hub.enter(member)
    return hub


def test_send_reaches_the_members_of_that_topic_alone() -> None:
    """Another topic, and the private namesake, receive nothing."""
    member, other, private = FakeMember(), FakeMember("b"), FakeMember(is_private=True)
    _hub(member, other, private).send(Broadcast("a", "e", {"n": 1}, is_private=False))
    payload = {"type": "broadcast", "event": "e", "payload": {"n": 1}}
    assert member.received == [Frame("realtime:a", "broadcast", payload)]
    assert other.received == private.received == []


def test_send_skips_its_sender() -> None:
    """All others on the topic get it."""
    sender, other = FakeMember(), FakeMember()
    _hub(sender, other).send(Broadcast("a", "e", {}, is_private=False), sender=sender)
    assert (len(sender.received), len(other.received)) == (0, 1)


def test_what_sql_sent_carries_the_id_of_its_row() -> None:
    """Beside the payload, not in it."""
    member = FakeMember()
    _hub(member).send(Broadcast("a", "e", {}, is_private=False, row_id="7"))
    assert member.received[0].payload["meta"] == {"id": "7"}


def test_a_member_that_left_receives_nothing() -> None:
    """Leaving twice is fine."""
    member = FakeMember()
    hub = _hub(member)
    hub.leave(member)
    hub.leave(member)
    hub.send(Broadcast("a", "e", {}, is_private=False))
    assert member.received == []
