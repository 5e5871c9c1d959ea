"""The envelopes of both protocol versions. Knows nothing of what the events mean."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from local.realtime.binary import decode_push, encode_broadcast
from local.realtime.errors import FrameError
from local.realtime.jsontext import JsonError, dump_json, load_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Ref: TypeAlias = str | int | None
Wire: TypeAlias = str | bytes

_FIELDS = ("join_ref", "ref", "topic", "event", "payload")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the socket, in either direction and either version."""

    topic: str
    event: str
    payload: Any
    ref: Ref = None
    join_ref: Ref = None


class Codec(Protocol):
    """One protocol version."""

    def decode(self, data: Wire) -> Frame:
        """Read a client's frame, or raise FrameError."""

    def encode(self, frame: Frame) -> Wire | None:
        """Write a frame; None where this version has no way to say it."""


class ObjectCodec:
    """Version 1.0.0: a JSON object in a text frame."""

    def decode(self, data: Wire) -> Frame:
        """Read an object with topic, event, payload, ref and join_ref."""
        value = _load_text(data)
        if not isinstance(value, dict):
            raise FrameError("a frame of version 1.0.0 is a JSON object")
        return _checked(*(value.get(name) for name in _FIELDS))

    def encode(self, frame: Frame) -> str | None:
        """Write an object; `ref` is always there, as the Python client insists. No raw bytes."""
        if _raw_body(frame) is not None:
            return None
        return _dump_text(
            {
                "topic": frame.topic,
                "event": frame.event,
                "payload": frame.payload,
                "ref": frame.ref,
            }
        )


class ArrayCodec:
    """Version 2.0.0: a JSON array in a text frame, or a broadcast in a binary one."""

    def decode(self, data: Wire) -> Frame:
        """Read an array of five, or a binary user broadcast."""
        if isinstance(data, bytes):
            return _push_frame(data)
        value = _load_text(data)
        if not isinstance(value, list) or len(value) != 5:
            raise FrameError("a frame of version 2.0.0 is a JSON array of five")
        return _checked(*value)

    def encode(self, frame: Frame) -> Wire | None:
        """Write an array; a broadcast of raw bytes goes out as a binary frame."""
        body = _raw_body(frame)
        if body is None:
            return _dump_text([frame.join_ref, frame.ref, frame.topic, frame.event, frame.payload])
        meta = frame.payload.get("meta")
        return encode_broadcast(
            topic=frame.topic,
            event=frame.payload["event"],
            meta=dump_json(meta) if meta else "",
            body=body,
        )


CODECS: Mapping[str, Codec] = MappingProxyType({"1.0.0": ObjectCodec(), "2.0.0": ArrayCodec()})


def _checked(join_ref: Any, ref: Any, topic: Any, event: Any, payload: Any) -> Frame:
    if not isinstance(topic, str) or not isinstance(event, str):
        raise FrameError("topic and event are strings")
    for value in (join_ref, ref):
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise FrameError("a ref is a string, a number or null")
    return Frame(topic, event, payload, ref=ref, join_ref=join_ref)


def _push_frame(data: bytes) -> Frame:
    push = decode_push(data)
    try:
        body = load_json(push.body) if push.is_json else push.body
    except JsonError as exc:
        raise FrameError("the body of a binary push is not the JSON it claims to be") from exc
    payload = {"type": "broadcast", "event": push.event, "payload": body}
    return Frame(push.topic, "broadcast", payload, push.ref or None, push.join_ref or None)


def _load_text(data: Wire) -> Any:
    if isinstance(data, bytes):
        raise FrameError("version 1.0.0 has no binary frames")
    try:
        return load_json(data)
    except JsonError as exc:
        raise FrameError("a text frame is JSON") from exc


def _dump_text(value: Any) -> str | None:
    try:
        return dump_json(value)
    except RecursionError:
        return None


def _raw_body(frame: Frame) -> bytes | None:
    if frame.event != "broadcast" or not isinstance(frame.payload, dict):
        return None
    body = frame.payload.get("payload")
    return body if isinstance(body, bytes) else None
