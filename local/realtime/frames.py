"""The envelopes of both protocol versions, and the replies that clients wait for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from local.realtime.errors import FrameError

Ref: TypeAlias = str | int | None

TOPIC_PREFIX = "realtime:"
OBJECTS, ARRAYS = "1.0.0", "2.0.0"  # the protocol's versions, by what a text frame is
VERSIONS = (OBJECTS, ARRAYS)

_FIELDS = ("join_ref", "ref", "topic", "event", "payload")
_PUSH_KIND, _JSON_ENCODING = 3, 1
_PUSH_HEADER = 7  # kind, the lengths of join_ref, ref, topic, event and meta, encoding


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the socket, in either direction and either version."""

    topic: str
    event: str
    payload: Any
    ref: Ref = None
    join_ref: Ref = None


def decode(data: str | bytes, version: str) -> Frame:
    """Read a client's frame, or raise FrameError."""
    if isinstance(data, bytes):
        if version == OBJECTS:
            raise FrameError("version 1.0.0 has no binary frames")
        return _decode_push(data)
    value = load_json(data)
    if version == OBJECTS and isinstance(value, dict):
        return _checked(*(value.get(name) for name in _FIELDS))
    if version == ARRAYS and isinstance(value, list) and len(value) == len(_FIELDS):
        return _checked(*value)
    raise FrameError("a text frame is an object in version 1.0.0, an array of five in 2.0.0")


def encode(frame: Frame, version: str) -> str:
    """Write a frame for a client. The Python one insists on `ref`, also where it is null."""
    if version == ARRAYS:
        return _dump([frame.join_ref, frame.ref, frame.topic, frame.event, frame.payload])
    fields = {"topic": frame.topic, "event": frame.event, "payload": frame.payload}
    return _dump({**fields, "ref": frame.ref})


def reply(frame: Frame, status: str, **response: Any) -> Frame:
    """Answer a frame with `ok` or `error`."""
    payload = {"status": status, "response": response}
    return Frame(frame.topic, "phx_reply", payload, ref=frame.ref, join_ref=frame.join_ref)


def load_json(text: str | bytes) -> Any:
    """Parse JSON that can be written again: no NaN, nothing infinite, nothing nested too deeply."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as exc:
        raise FrameError("not JSON") from exc
    return value


def size_of(payload: Any) -> int:
    """Count the octets of a payload as JSON in UTF-8."""
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode(errors="surrogatepass"))


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _checked(join_ref: Any, ref: Any, topic: Any, event: Any, payload: Any) -> Frame:
    if not isinstance(topic, str) or not isinstance(event, str):
        raise FrameError("topic and event are strings")
    if not all(isinstance(value, str | int | None) for value in (join_ref, ref)):
        raise FrameError("a ref is a string, a number or null")
    return Frame(topic, event, payload, ref=ref, join_ref=join_ref)


def _decode_push(data: bytes) -> Frame:
    """Read a binary broadcast, which is how supabase-js sends: five lengths, five names, a body."""
    if len(data) < _PUSH_HEADER or data[0] != _PUSH_KIND or data[6] != _JSON_ENCODING:
        raise FrameError("the only binary frame taken is a broadcast of JSON")
    lengths, rest = data[1:6], data[_PUSH_HEADER:]
    if sum(lengths) > len(rest):
        raise FrameError("a binary frame is shorter than its header says")
    names = []
    for length in lengths:
        names.append(_text(rest[:length]))
        rest = rest[length:]
    join_ref, ref, topic, event, _meta = names
    payload = {"type": "broadcast", "event": event, "payload": load_json(rest)}
    return Frame(topic, "broadcast", payload, ref=ref or None, join_ref=join_ref or None)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise FrameError("the names in a binary frame are UTF-8") from exc
