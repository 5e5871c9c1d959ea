"""Both envelopes: what is read, what is written, and what is refused."""

from __future__ import annotations

import json

import pytest

from local.realtime.errors import FrameError
from local.realtime.frames import CODECS, Frame

V1, V2 = CODECS["1.0.0"], CODECS["2.0.0"]


def _push(*fields: bytes, encoding: int = 1, body: bytes = b"{}") -> bytes:
    return bytes([3, *map(len, fields), encoding]) + b"".join(fields) + body


def test_version_one_reads_an_object() -> None:
    """Absent refs are null."""
    text = '{"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "7"}'
    assert V1.decode(text) == Frame("phoenix", "heartbeat", {}, ref="7", join_ref=None)


def test_version_one_always_writes_a_ref() -> None:
    """The Python client drops pushes without `ref`."""
    written = V1.encode(Frame("realtime:a", "system", {"n": 1}, join_ref="3"))
    assert json.loads(written or "") == {
        "topic": "realtime:a",
        "event": "system",
        "payload": {"n": 1},
        "ref": None,
    }


def test_version_one_can_not_say_raw_bytes() -> None:
    """A raw broadcast is skipped."""
    payload = {"type": "broadcast", "event": "e", "payload": b"\xff"}
    assert V1.encode(Frame("realtime:a", "broadcast", payload)) is None


def test_version_two_reads_and_writes_an_array() -> None:
    """The order is join_ref, ref, topic, event, payload."""
    text = '["1","2","realtime:a","broadcast",{"n":1}]'
    frame = Frame("realtime:a", "broadcast", {"n": 1}, ref="2", join_ref="1")
    assert V2.decode(text) == frame
    assert V2.encode(frame) == text


def test_version_two_reads_a_binary_push() -> None:
    """Lengths count octets of UTF-8; the payload is what a text push would have."""
    data = _push(b"1", b"2", "realtime:سلام".encode(), b"said", b"", body=b'{"n": 1}')
    assert V2.decode(data) == Frame(
        "realtime:سلام",
        "broadcast",
        {"type": "broadcast", "event": "said", "payload": {"n": 1}},
        ref="2",
        join_ref="1",
    )


def test_version_two_reads_raw_bytes_and_empty_refs() -> None:
    """Encoding 0 leaves the body alone; an empty ref is null."""
    frame = V2.decode(_push(b"", b"", b"t", b"e", b"{}", encoding=0, body=b"\x00\xff"))
    assert (frame.ref, frame.join_ref) == (None, None)
    assert frame.payload["payload"] == b"\x00\xff"


def test_version_two_writes_raw_bytes_with_their_meta() -> None:
    """Kind 4: topic, event, meta, encoding 0, body."""
    payload = {"type": "broadcast", "event": "e", "payload": b"\xff", "meta": {"id": "x"}}
    written = V2.encode(Frame("realtime:a", "broadcast", payload))
    assert written == bytes([4, 10, 1, 10, 0]) + b"realtime:a" + b"e" + b'{"id":"x"}' + b"\xff"


def test_raw_bytes_under_too_long_a_name_are_skipped() -> None:
    """A length is one octet."""
    payload = {"type": "broadcast", "event": "e" * 256, "payload": b""}
    assert V2.encode(Frame("realtime:a", "broadcast", payload)) is None


@pytest.mark.parametrize(
    "data",
    [
        "",
        "null",
        "{}",
        "[1,2,3,4]",
        '["1","2","t",null,{}]',
        '[{},"2","t","e",{}]',
        '[true,"2","t","e",{}]',
        '["1","2","t","e",NaN]',
        '["1","2","t","e",1e999]',
        '["1","2","t","e",' + "[" * 100_000 + "]" * 100_000 + "]",
        b"",
        b"\x03",
        b"\x04\x00\x00\x00\x00\x00\x01",
        _push(b"1", b"2", b"t", b"e", b"", encoding=2),
        _push(b"1", b"2", b"t", b"e", b"", body=b"{"),
        _push(b"1", b"2", b"\xff", b"e", b""),
        bytes([3, 255, 255, 255, 255, 255, 1]) + b"short",
    ],
)
def test_version_two_refuses_what_makes_no_sense(data: str | bytes) -> None:
    """Every unreadable frame is a FrameError, never another error."""
    with pytest.raises(FrameError):
        V2.decode(data)


@pytest.mark.parametrize("data", ["[]", "7", b"{}", '{"topic": 1, "event": "e"}', '{"topic": "t"}'])
def test_version_one_refuses_what_makes_no_sense(data: str | bytes) -> None:
    """Binary frames belong to version 2 alone."""
    with pytest.raises(FrameError):
        V1.decode(data)


def test_a_lone_surrogate_can_be_passed_on() -> None:
    """What JavaScript can send, JavaScript gets."""
    text = '[null,null,"realtime:a","broadcast",{"text":"\\ud83d"}]'
    assert V2.encode(V2.decode(text)) == text
