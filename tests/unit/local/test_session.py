"""One connection's channels: the bounds that an integration test would have to flood to reach."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local.realtime import limits
from local.realtime.frames import CODECS, Codec, Frame, Wire
from local.realtime.services import Services
from local.realtime.session import Session
from local.realtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

SETTINGS = Settings("postgresql://", "secret-" * 6, "sb_publishable_a", "sb_secret_b")


class FakeOutlet:
    def __init__(self) -> None:
        self.codec: Codec = CODECS["2.0.0"]
        self.headers: Mapping[str, str] = {}
        self.replies: list[dict[str, Any]] = []
        self.is_finished = False

    def send(self, frame: Frame) -> None:
        self.replies.append(frame.payload)

    def send_wire(self, data: Wire) -> None:
        raise AssertionError(data)

    def finish(self) -> None:
        self.is_finished = True


def _session(settings: Settings = SETTINGS) -> tuple[Session, FakeOutlet, Services]:
    services = Services.build(settings)
    outlet = FakeOutlet()
    identity = services.tokens.identify("sb_publishable_a")
    return Session(outlet, services, identity=identity), outlet, services


async def _join(session: Session, number: int, **config: Any) -> None:
    await session.act(
        Frame(f"realtime:{number}", "phx_join", {"config": config}, ref="1", join_ref="1")
    )


def _reason(outlet: FakeOutlet) -> str:
    reason: str = outlet.replies[-1]["response"].get("reason", "")
    return reason


async def test_joins_in_excess_end_the_connection() -> None:
    """Too many joins within a second: the reason, and then the end."""
    session, outlet, _ = _session()
    for _ in range(limits.JOINS_PER_SECOND):
        await _join(session, 1)
    assert not outlet.is_finished
    await _join(session, 1)
    assert _reason(outlet).startswith("ClientJoinRateLimitReached: ")
    assert outlet.is_finished


async def test_channels_in_excess_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection has so many channels; leaving one makes room."""
    monkeypatch.setattr("local.realtime.session.CHANNELS_PER_CONNECTION", 2)
    session, outlet, _ = _session()
    for number in (1, 2, 3):
        await _join(session, number)
    assert _reason(outlet).startswith("ChannelRateLimitReached: ")
    await session.act(Frame("realtime:1", "phx_leave", {}))
    await _join(session, 3)
    assert outlet.replies[-1]["status"] == "ok"


async def test_connections_in_excess_can_not_join() -> None:
    """A server has so many connections."""
    session, outlet, services = _session()
    services.connections = limits.CONNECTIONS + 1
    await _join(session, 1)
    assert _reason(outlet).startswith("ConnectionRateLimitReached: ")


async def test_a_private_project_refuses_public_channels() -> None:
    """The setting closes public topics."""
    session, outlet, _ = _session(replace(SETTINGS, private_only=True))
    await _join(session, 1)
    assert _reason(outlet).startswith("PrivateOnly: ")


async def test_a_private_join_without_a_database_is_refused_for_now() -> None:
    """The code is one after which clients try again."""
    session, outlet, _ = _session()
    await _join(session, 1, private=True)
    assert _reason(outlet).startswith("InitializingProjectConnection: ")


async def test_an_event_on_a_topic_that_was_not_joined_is_an_error() -> None:
    """The client learns that it is not a member."""
    session, outlet, _ = _session()
    await session.act(Frame("realtime:1", "broadcast", {"event": "e"}, ref="4"))
    assert _reason(outlet) == "unmatched topic"
