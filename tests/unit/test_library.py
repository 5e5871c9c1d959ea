"""The library's face: what it takes, and what it says of what it can't take."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

import shared as message_persistence
from shared.config import ConfigurationError
from shared.library import MessagePersistence

USER = uuid.uuid4()
PROJECT = ("http://project.test", "sb_secret_unit")


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("name", message_persistence.__all__)
def test_each_name_of_the_library_is_there(name: str) -> None:
    """They are imported on use, so a wrong one would be noticed late."""
    assert getattr(message_persistence, name) is not None


def test_a_name_that_it_has_not_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Messages'"):
        message_persistence.Messages  # noqa: B018


async def test_it_is_made_of_arguments_or_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A URL and a secret key are all it needs; any other setting may be given too."""
    monkeypatch.chdir("/")
    given = MessagePersistence(*PROJECT, lease_seconds=60)
    monkeypatch.setenv("SUPABASE_URL", PROJECT[0])
    monkeypatch.setenv("SUPABASE_SECRET_KEY", PROJECT[1])
    found = MessagePersistence()
    assert given.settings.supabase_url == found.settings.supabase_url == PROJECT[0]
    assert (given.settings.lease_seconds, found.settings.lease_seconds) == (60, 26)
    await given.aclose()
    await found.aclose()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, when it is made."""
    monkeypatch.chdir("/")
    monkeypatch.delenv("SUPABASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="SUPABASE_URL is missing"):
        MessagePersistence(secret_key="sb_secret_unit")


async def test_a_field_that_no_turn_has_is_refused() -> None:
    """Misspelt, it would else lead to another conversation."""
    chat = MessagePersistence(*PROJECT)
    with pytest.raises(TypeError, match="a turn has no conversation"):
        chat.turn("Hello", user_id=USER, conversation=USER)  # type: ignore[call-arg]
    await chat.aclose()


def test_it_belongs_to_one_event_loop() -> None:
    """Connections do: in another loop, without any, and closed it says so, and how to do it."""
    chat = MessagePersistence(*PROJECT)

    async def use(chat: MessagePersistence) -> None:
        chat.turn("Hello", user_id=USER)

    async def use_closed() -> None:
        await chat.aclose()
        await use(chat)

    with pytest.raises(RuntimeError, match="no running event loop"):
        chat.turn("Hello", user_id=USER)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(use(chat))
        with pytest.raises(RuntimeError, match="run_coroutine_threadsafe"):
            second.run(use(chat))
        with pytest.raises(RuntimeError, match="closed"):
            first.run(use_closed())


@pytest.mark.parametrize(
    ("request_text", "fields"),
    [
        (" ", {}),
        ("x" * 2_000_001, {}),
        ("Hello", {"key": ""}),
        ("Hello", {"key": "é"}),
        ("Hello", {"key": "k" * 256}),
        ("Hello", {"user_id": "someone"}),
        ("Hello", {"conversation_id": "6"}),
        ("Hello", {"metadata": {"success": True}}),
    ],
)
async def test_what_can_not_be_stored_is_refused_before_anything_is(
    request_text: str, fields: dict[str, Any]
) -> None:
    """A ValueError where the turn is made."""
    async with MessagePersistence(*PROJECT) as chat:
        with pytest.raises(ValueError):  # noqa: PT011 - of each kind another sentence
            chat.turn(request_text, **{"user_id": USER, **fields})
