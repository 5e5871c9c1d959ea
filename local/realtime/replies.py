"""The frames that the server says of its own accord or in answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from local.realtime.frames import Frame, Ref

if TYPE_CHECKING:
    from collections.abc import Mapping

TOPIC_PREFIX = "realtime:"


def reply_ok(frame: Frame, response: Mapping[str, Any] | None = None) -> Frame:
    """Answer a frame with success."""
    return _reply(frame, "ok", dict(response or {}))


def reply_error(frame: Frame, reason: str | None = None) -> Frame:
    """Answer a frame with an error and its reason."""
    return _reply(frame, "error", {} if reason is None else {"reason": reason})


def push(topic: str, event: str, payload: Mapping[str, Any], *, join_ref: Ref = None) -> Frame:
    """Say something to the member of a topic, which is named without its prefix."""
    return Frame(TOPIC_PREFIX + topic, event, payload, join_ref=join_ref)


def system(
    topic: str, status: Literal["ok", "error"], message: str, *, extension: str, join_ref: Ref
) -> Frame:
    """Tell a member about the state of one of the server's parts."""
    payload = {"extension": extension, "status": status, "message": message, "channel": topic}
    return push(topic, "system", payload, join_ref=join_ref)


def closed(wire_topic: str, join_ref: Ref) -> Frame:
    """Say that a membership has ended."""
    return Frame(wire_topic, "phx_close", {}, ref=join_ref, join_ref=join_ref)


def errored(wire_topic: str, join_ref: Ref) -> Frame:
    """Make a member join again."""
    return Frame(wire_topic, "phx_error", {}, ref=join_ref, join_ref=join_ref)


def _reply(frame: Frame, status: str, response: dict[str, Any]) -> Frame:
    payload = {"status": status, "response": response}
    return Frame(frame.topic, "phx_reply", payload, ref=frame.ref, join_ref=frame.join_ref)
