"""Topics: who receives what."""

from local.realtime.errors import RefusedError
from local.realtime.frames import Frame
from local.realtime.hub import Broadcast, Hub
from local.realtime.rate import Rate


class FakeMember:
    def __init__(self, topic: str = "a", *, is_private: bool = False) -> None:
        self.topic = topic
        self.is_private = is_private
        self.received: list[Frame] = []
        self.refused: list[str] = []

    def deliver(self, frame: Frame) -> None:
        self.received.append(frame)

    def shut_down(self, reason: RefusedError) -> None:
        self.refused.append(reason.code)


def _hub(*members: FakeMember, rate: Rate | None = None) -> Hub:
    hub = Hub(rate or Rate(100))
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


def test_nobody_is_waited_for_from_the_first_member_to_the_last() -> None:
    """Who reads what SQL sent pauses for longer while there is nobody to read it for."""
    one, other = FakeMember(), FakeMember("b")
    hub = _hub(one, other)
    hub.leave(one)
    assert hub.has_members.is_set()
    hub.leave(other)
    assert not hub.has_members.is_set()


def test_a_member_that_left_receives_nothing() -> None:
    """Leaving twice is fine."""
    member = FakeMember()
    hub = _hub(member)
    hub.leave(member)
    hub.leave(member)
    hub.send(Broadcast("a", "e", {}, is_private=False))
    assert member.received == []


def test_what_is_sent_and_each_delivery_counts_and_closes_channels_beyond_the_limit() -> None:
    """Three messages for two listeners; of what SQL sends only its deliveries; and not at once."""
    now = [0.0]
    rate = Rate(1, clock=lambda: now[0])
    members = FakeMember(), FakeMember()
    hub = _hub(*members, FakeMember("b"), rate=rate)
    hub.send(Broadcast("a", "e", {}, is_private=False))
    hub.send(Broadcast("a", "e", {}, is_private=False, row_id="7"))
    now[0] = 5
    assert rate.mean == 5 / 2 / 5
    for _ in range(5):
        hub.send(Broadcast("a", "e", {}, is_private=False))
    assert [member.refused for member in members] == [[], []]
    now[0] = 10
    assert rate.mean == 20 / 3 / 5
    hub.send(Broadcast("a", "e", {}, is_private=False))
    assert [len(member.received) for member in members] == [8, 8]
    assert [member.refused for member in members] == [["MessagePerSecondRateLimitReached"]] * 2


def test_a_mean_is_of_the_last_minute_and_of_the_time_since_the_start_before() -> None:
    """A burst counts less the longer the server has run, and is forgotten after a minute."""
    now = [0.0]
    rate = Rate(100, clock=lambda: now[0])
    rate.count(600)
    means = []
    for now[0] in (4.9, 5.0, 55.0, 60.0, 65.0, 1_000.0):
        means.append(rate.mean)
    assert means == [0, 60, 10, 10, 0, 0]
