"""The two binary frames of protocol version 2.0.0: a broadcast pushed by a client, and to one."""

from __future__ import annotations

from dataclasses import dataclass

from local.realtime.errors import FrameError

PUSH_KIND = 3
BROADCAST_KIND = 4
RAW_ENCODING = 0
JSON_ENCODING = 1

_PUSH_FIELDS = 5
_PUSH_HEADER = 1 + _PUSH_FIELDS + 1
_LONGEST_FIELD = 255


@dataclass(frozen=True, slots=True)
class BinaryPush:
    """A client's broadcast as it was framed; absent refs are empty strings."""

    join_ref: str
    ref: str
    topic: str
    event: str
    meta: str
    body: bytes
    is_json: bool


def decode_push(data: bytes) -> BinaryPush:
    """Take a binary push apart, or raise FrameError."""
    if len(data) < _PUSH_HEADER or data[0] != PUSH_KIND:
        raise FrameError("the only binary frame of a client is a user broadcast")
    encoding = data[_PUSH_HEADER - 1]
    if encoding not in {RAW_ENCODING, JSON_ENCODING}:
        raise FrameError("a binary push is encoded as 0 (raw) or 1 (JSON)")
    (join_ref, ref, topic, event, meta), body = _split(data)
    return BinaryPush(join_ref, ref, topic, event, meta, body, encoding == JSON_ENCODING)


def encode_broadcast(*, topic: str, event: str, meta: str, body: bytes) -> bytes | None:
    """Frame raw bytes for a client; None where a name is too long for its one-byte length."""
    try:
        fields = [text.encode() for text in (topic, event, meta)]
    except UnicodeEncodeError:
        return None
    if any(len(field) > _LONGEST_FIELD for field in fields):
        return None
    lengths = [len(field) for field in fields]
    return bytes([BROADCAST_KIND, *lengths, RAW_ENCODING]) + b"".join(fields) + body


def _split(data: bytes) -> tuple[list[str], bytes]:
    lengths = data[1 : 1 + _PUSH_FIELDS]
    if _PUSH_HEADER + sum(lengths) > len(data):
        raise FrameError("a binary push is shorter than its header says")
    fields = []
    start = _PUSH_HEADER
    for length in lengths:
        fields.append(_text(data[start : start + length]))
        start += length
    return fields, data[start:]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise FrameError("the names in a binary push are UTF-8") from exc
