"""Both envelopes: what is read, what is written, and what is refused."""

import json

import pytest

from local.realtime.errors import FrameError
from local.realtime.frames import ARRAYS, OBJECTS, Frame, decode, encode, size_of


def _push(*fields: bytes, encoding: int = 1, body: bytes = b"{}") -> bytes:
    return bytes([3, *map(len, fields), encoding]) + b"".join(fields) + body


def test_version_one_reads_an_object() -> None:
    """Absent refs are null."""
    text = '{"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "7"}'
    assert decode(text, OBJECTS) == Frame("phoenix", "heartbeat", {}, ref="7", join_ref=None)


def test_version_one_always_writes_a_ref() -> None:
    """The Python client drops pushes without `ref`."""
    written = encode(Frame("realtime:a", "system", {"n": 1}, join_ref="3"), OBJECTS)
    assert json.loads(written) == {
        "topic": "realtime:a",
        "event": "system",
        "payload": {"n": 1},
        "ref": None,
    }


def test_version_two_reads_and_writes_an_array() -> None:
    """The order is join_ref, ref, topic, event, payload."""
    text = '["1","2","realtime:a","broadcast",{"n":1}]'
    frame = Frame("realtime:a", "broadcast", {"n": 1}, ref="2", join_ref="1")
    assert decode(text, ARRAYS) == frame
    assert encode(frame, ARRAYS) == text


def test_version_two_reads_the_binary_broadcast_of_supabase_js() -> None:
    """Lengths count octets of UTF-8; the payload is what a text push would have."""
    data = _push(b"1", b"", "realtime:سلام".encode(), b"said", b"{}", body=b'{"n": 1}')
    assert decode(data, ARRAYS) == Frame(
        "realtime:سلام",
        "broadcast",
        {"type": "broadcast", "event": "said", "payload": {"n": 1}},
        ref=None,
        join_ref="1",
    )


@pytest.mark.parametrize(
    "data",
    [
        "",
        "null",
        "{}",
        "[1,2,3,4]",
        '["1","2","t",null,{}]',
        '[{},"2","t","e",{}]',
        '["1","2","t","e",NaN]',
        '["1","2","t","e",1e999]',
        '["1","2","t","e",' + "[" * 100_000 + "]" * 100_000 + "]",
        b"",
        b"\x03",
        b"\x04\x00\x00\x00\x00\x00\x01",
        _push(b"1", b"2", b"t", b"e", b"", encoding=0),
        _push(b"1", b"2", b"t", b"e", b"", body=b"{"),
        _push(b"1", b"2", b"\xff", b"e", b""),
        bytes([3, 255, 255, 255, 255, 255, 1]) + b"short",
    ],
)
def test_version_two_refuses_what_makes_no_sense(data: str | bytes) -> None:
    """Every unreadable frame is a FrameError, never another error."""
    with pytest.raises(FrameError):
        decode(data, ARRAYS)


@pytest.mark.parametrize("data", ["[]", "7", b"{}", '{"topic": 1, "event": "e"}', '{"topic": "t"}'])
def test_version_one_refuses_what_makes_no_sense(data: str | bytes) -> None:
    """Binary frames belong to version 2 alone."""
    with pytest.raises(FrameError):
        decode(data, OBJECTS)


def test_a_lone_surrogate_can_be_passed_on() -> None:
    """What JavaScript can send, JavaScript gets; its size can be counted too."""
    text = '[null,null,"realtime:a","broadcast",{"text":"\\ud83d"}]'
    frame = decode(text, ARRAYS)
    assert encode(frame, ARRAYS) == text
    assert size_of(frame.payload) == len('{"text":""}') + 3


def test_a_size_counts_octets_of_utf_8() -> None:
    """Not characters, and not the escapes of ASCII."""
    assert size_of({"a": "é"}) == 10
