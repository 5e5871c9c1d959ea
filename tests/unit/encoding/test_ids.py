"""Ids of rows, in the order of time, and of conversations that others name."""

import time
from uuid import RFC_4122, uuid4

import pytest

from shared.encoding.ids import conversation_of, new_id


def test_an_id_is_a_uuid_of_version_7_with_the_milliseconds_of_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As RFC 9562 has it: its own example's moment leads to its own example's first half."""
    monkeypatch.setattr(time, "time_ns", lambda: 0x017F22E279B0 * 1_000_000 + 999_999)
    made = new_id()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert str(made).startswith("017f22e2-79b0-7")


def test_ids_of_one_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their 74 random bits, each of which is used."""
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    made = [new_id().int for _ in range(200)]
    assert len(set(made)) == 200
    changing = 0
    for one in made:
        changing |= one ^ made[0]
    assert changing == (1 << 76) - 1 & ~(0x3 << 62)


def test_a_later_id_is_greater(monkeypatch: pytest.MonkeyPatch) -> None:
    """A millisecond is enough, whatever the random bits are."""
    moments = iter(range(0, 1_000_000 * 200, 1_000_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    made = [new_id() for _ in range(200)]
    assert made == sorted(made)


def test_a_name_that_is_no_id_is_a_conversation_of_the_users_own() -> None:
    """Always the same; an id is one in its canonical form alone, for chats and sessions alike."""
    one, other, chat = uuid4(), uuid4(), uuid4()
    assert conversation_of(one, str(chat)) == chat
    for name in (chat.hex, f"{{{chat}}}", "a chat"):
        assert conversation_of(one, name) == conversation_of(one, name)
        assert conversation_of(one, name) not in (chat, conversation_of(other, name))
