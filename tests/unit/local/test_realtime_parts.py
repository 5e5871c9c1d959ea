"""The small parts: options, limits, queues, sizes."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from local.realtime.errors import JoinRefusedError
from local.realtime.jsontext import size_of
from local.realtime.messages import Refusal, parse_messages
from local.realtime.options import Replay, parse_join
from local.realtime.outbox import Outbox
from local.realtime.rate import RateLimit


@pytest.mark.parametrize("payload", [None, [], {}, {"config": 7}, {"config": {"broadcast": []}}])
def test_parse_join_takes_defaults_for_nonsense(payload: Any) -> None:
    """Public, silent, without presence; every member has a key of its own."""
    options, again = parse_join(payload), parse_join(payload)
    assert not any((options.is_private, options.wants_ack, options.wants_own))
    assert not options.wants_presence
    assert options.token is None
    assert options.presence_key != again.presence_key


def test_parse_join_reads_flags_that_are_strings() -> None:
    """Some clients quote their booleans."""
    config = {"private": "true", "broadcast": {"ack": "true", "self": "false"}}
    options = parse_join({"config": config})
    assert (options.is_private, options.wants_ack, options.wants_own) == (True, True, False)


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        ({"access_token": "jwt"}, "jwt"),
        ({"user_token": "jwt"}, "jwt"),
        ({"access_token": "sb_secret_x"}, None),
        ({"access_token": None}, None),
    ],
)
def test_parse_join_leaves_opaque_keys_to_the_connection(
    payload: dict[str, Any], token: str | None
) -> None:
    """Only a JWT replaces the connection's key."""
    assert parse_join(payload).token == token


def test_parse_join_numbers_the_postgres_changes() -> None:
    """Each comes back as it was, with an id."""
    wanted = [{"event": "*", "schema": "public"}, {"event": "INSERT", "schema": "other"}]
    changes = parse_join({"config": {"postgres_changes": wanted}}).postgres_changes
    assert [{**change, "id": 0} for change in changes] == [{**item, "id": 0} for item in wanted]
    assert len({change["id"] for change in changes}) == 2


def test_parse_join_reads_a_replay() -> None:
    """The limit may be left out."""
    config = {"private": True, "broadcast": {"replay": {"since": 5}}}
    assert parse_join({"config": config}).replay == Replay(since=5, limit=25)


@pytest.mark.parametrize("replay", [{"since": True}, {"since": 10**20}, {"since": 1, "limit": 0}])
def test_parse_join_refuses_an_impossible_replay(replay: dict[str, Any]) -> None:
    """Out of bounds is an error, not a default."""
    with pytest.raises(JoinRefusedError, match="UnableToReplayMessages"):
        parse_join({"config": {"private": True, "broadcast": {"replay": replay}}})


def test_rate_limit_counts_within_a_second() -> None:
    """The one too many is refused; a second later there is room again."""
    now = 0.0
    limit = RateLimit(2, clock=lambda: now)
    assert [limit.allows_now() for _ in range(3)] == [True, True, False]
    now = 1.0
    assert limit.allows_now()


@pytest.mark.parametrize(("frames", "octets"), [(2, 100), (100, 7)])
async def test_outbox_shuts_when_it_is_full(frames: int, octets: int) -> None:
    """The frame that does not fit in number or size ends it."""
    outbox = Outbox(frames=frames, octets=octets)
    outbox.put("abc")
    outbox.put("def")
    overflow = asyncio.create_task(outbox.overflow())
    await asyncio.sleep(0)
    assert not overflow.done()
    outbox.put("ghi")
    await overflow


async def test_outbox_makes_room_as_it_is_read() -> None:
    """What was taken out no longer counts; the end comes after the rest."""
    outbox = Outbox(frames=1, octets=3)
    outbox.put("abc")
    assert await outbox.get() == "abc"
    outbox.put("def")
    outbox.finish()
    outbox.put("ghi")
    assert [await outbox.get(), await outbox.get()] == ["def", None]


def test_size_of_counts_octets() -> None:
    """Bytes as they are, text in UTF-8, and endless where it can't be written."""
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    sizes = [size_of(b"\x00\xff"), size_of({"a": "é"}), size_of("\ud83d"), size_of(nested)]
    assert sizes == [2, 10, 5, sys.maxsize]


def test_parse_messages_reports_each_field_at_its_message() -> None:
    """A client can tell which of its messages is wrong, and why."""
    good = {"topic": "t", "event": "e", "payload": {}}
    bad = {"topic": "", "payload": [], "private": 3}
    with pytest.raises(Refusal) as refusal:
        parse_messages({"messages": [good, bad]})
    errors = refusal.value.body["errors"]["messages"]
    assert errors[0] == {}
    assert set(errors[1]) == {"topic", "event", "payload", "private"}


def test_parse_messages_is_public_unless_told() -> None:
    """`private` defaults to false over HTTP."""
    message = {"topic": "t", "event": "e", "payload": {}}
    parsed = parse_messages({"messages": [message, {**message, "private": True}]})
    assert [broadcast.is_private for broadcast in parsed] == [False, True]
