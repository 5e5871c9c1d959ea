"""What a client asks for when it joins. Nonsense becomes the default, as the hosted server does."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from local.realtime.errors import JoinRefusedError
from local.realtime.limits import REPLAY_MESSAGES
from local.realtime.tokens import OPAQUE_PREFIX

_LATEST_MILLISECONDS = 10**14


@dataclass(frozen=True, slots=True)
class Replay:
    """Stored broadcasts to send again: the newest `limit` since a Unix time in milliseconds."""

    since: int
    limit: int


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """A join's configuration, read."""

    is_private: bool = False
    wants_ack: bool = False
    wants_own: bool = False
    wants_presence: bool = False
    presence_key: str = ""
    wants_replication_notice: bool = False
    replay: Replay | None = None
    postgres_changes: list[dict[str, Any]] = field(default_factory=list)
    token: str | None = None


def parse_join(payload: Any) -> JoinOptions:
    """Read the payload of a join; raise JoinRefusedError for a replay that can't be."""
    root = _object(payload)
    config = _object(root.get("config"))
    broadcast = _object(config.get("broadcast"))
    presence = _object(config.get("presence"))
    is_private = _flag(config.get("private"))
    return JoinOptions(
        is_private=is_private,
        wants_ack=_flag(broadcast.get("ack")),
        wants_own=_flag(broadcast.get("self")),
        wants_presence=_flag(presence.get("enabled")),
        presence_key=_text(presence.get("key")) or str(uuid.uuid4()),
        wants_replication_notice=_flag(broadcast.get("replication_ready")),
        replay=_replay(broadcast.get("replay"), is_private=is_private),
        postgres_changes=_changes(config.get("postgres_changes")),
        token=_token(root),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _flag(value: Any) -> bool:
    return value is True or value == "true"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _changes(value: Any) -> list[dict[str, Any]]:
    wanted = value if isinstance(value, list) else []
    return [{**item, "id": number} for number, item in enumerate(map(_object, wanted), start=1)]


def _token(root: dict[str, Any]) -> str | None:
    token = _text(root.get("access_token")) or _text(root.get("user_token"))
    return None if not token or token.startswith(OPAQUE_PREFIX) else token


def _replay(value: Any, *, is_private: bool) -> Replay | None:
    if value is None:
        return None
    if not is_private:
        raise JoinRefusedError("UnableToReplayMessages: Replay is not allowed for public channels")
    wanted = _object(value)
    since, limit = wanted.get("since"), wanted.get("limit", REPLAY_MESSAGES)
    return Replay(
        since=_between(since, 0, _LATEST_MILLISECONDS), limit=_between(limit, 1, REPLAY_MESSAGES)
    )


def _between(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise JoinRefusedError("UnableToReplayMessages: Replay params are not valid")
    return value
