"""The body of a batch: from JSON to broadcasts, or to errors in the shape of the hosted server."""

from __future__ import annotations

from typing import Any

from local.realtime.errors import RealtimeError
from local.realtime.hub import Broadcast
from local.realtime.jsontext import size_of
from local.realtime.limits import PAYLOAD_BYTES

_BLANK = "can't be blank"
_INVALID = "is invalid"


class Refusal(RealtimeError):  # noqa: N818 - a status and a body, which a handler answers with
    """An HTTP request is refused."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def parse_messages(body: Any) -> list[Broadcast]:
    """Read `{"messages": [...]}`; raise Refusal with an entry for each message."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        raise Refusal(422, {"errors": {"messages": [_BLANK]}})
    errors = [_errors_of(message) for message in messages]
    if any(errors):
        raise Refusal(422, {"errors": {"messages": errors}})
    return [_to_broadcast(message) for message in messages]


def _errors_of(message: Any) -> dict[str, list[str]]:
    if not isinstance(message, dict):
        return {"message": [_INVALID]}
    errors = {
        "topic": _name_error(message.get("topic")),
        "event": _name_error(message.get("event")),
        "payload": _payload_error(message.get("payload")),
        "private": _flag_error(message.get("private")),
    }
    return {name: [error] for name, error in errors.items() if error}


def _name_error(value: Any) -> str:
    if value is None or value == "":
        return _BLANK
    return "" if isinstance(value, str) else _INVALID


def _payload_error(value: Any) -> str:
    if value is None:
        return _BLANK
    if not isinstance(value, dict):
        return _INVALID
    return f"is larger than {PAYLOAD_BYTES} bytes" if size_of(value) > PAYLOAD_BYTES else ""


def _flag_error(value: Any) -> str:
    return "" if value in (None, True, False, "true", "false") else _INVALID


def _to_broadcast(message: dict[str, Any]) -> Broadcast:
    is_private = message.get("private") in {True, "true"}
    return Broadcast(message["topic"], message["event"], message["payload"], is_private)
