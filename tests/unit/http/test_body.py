"""The strict JSON parser: what it takes, and what it refuses and why."""

import json
from typing import Any

import pytest
from starlette.requests import Request

from shared.encoding.strict import MAX_DEPTH, parse_json
from shared.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedMediaTypeError
from shared.http.request_body import read_body, require_plain_json


def request_with(*chunks: bytes, **headers: str) -> Request:
    """Return a request whose body arrives in these chunks."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 1.5, 10**100, 1e300, "", "text", [], {}, "é 🎉 日本語 \u202e \ufeff",
        {"a": [1, {"b": None}]}, "\u0001\u001f", "\\u0000", {"": ""}, [[[]]], "\uffff\U0010ffff",
    ],
    ids=ascii,
)  # fmt: skip
@pytest.mark.parametrize("plain", [True, False], ids=["escaped", "plain"])
def test_json_is_taken_as_it_is(value: Any, plain: bool) -> None:
    """Escaped or in plain UTF-8, the value is the same."""
    assert parse_json(json.dumps(value, ensure_ascii=plain).encode()) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON at character 1"),
        (b"[1,]", "not valid JSON"),
        (b"01", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"'x'", "not valid JSON"),
        (b'"\x00"', "not valid JSON"),
        (b'"\n"', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"9" * 5000, "too large"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\xc0\x80"', "not UTF-8"),
        (b"NaN", "NaN is not"),
        (b"[Infinity]", "Infinity is not"),
        (b'{"a": -Infinity}', "-Infinity is not"),
        (b"1e400", "too large"),
        (b"-1.0e999", "too large"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "twice"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'[[{"a": ["x\\u0000"]}]]', "NUL"),
        (b'"\\ud800"', "surrogate"),
        (b'"\\udfff x"', "surrogate"),
        (b'"\\ude00\\ud83d"', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b"[" * 100_000, "nested too deep"),
        (b"[" * 10_000 + b"]" * 10_000, "nested too deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deep"),
    ],
)
def test_what_cannot_be_stored_or_agreed_on_is_refused(body: bytes, reason: str) -> None:
    """With a sentence that says why and repeats nothing of the body."""
    with pytest.raises(InvalidRequestError, match=reason):
        parse_json(body)


def test_nesting_is_allowed_up_to_the_limit() -> None:
    """Lists and objects alike."""
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    parse_json(b'{"a":' * (MAX_DEPTH - 1) + b"1" + b"}" * (MAX_DEPTH - 1))


@pytest.mark.parametrize("chunks", [[b"12345"], [b"1"] * 5, [b"", b"123", b"", b"45"]])
async def test_a_body_at_the_limit_is_read_whole(chunks: list[bytes]) -> None:
    """However it is cut."""
    assert await read_body(request_with(*chunks), limit=5) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"123456"], [b"1"] * 6, [b"12345", b"", b"6"]])
async def test_a_body_over_the_limit_is_refused(chunks: list[bytes]) -> None:
    """With no length declared, or one that lies."""
    for headers in ({}, {"content_length": "2"}, {"content_length": "x"}):
        with pytest.raises(PayloadTooLargeError, match="5 bytes"):
            await read_body(request_with(*chunks, **headers), limit=5)


@pytest.mark.parametrize("length", ["6", "9" * 5000, "0000000000000000000000006"])
async def test_a_declared_length_over_the_limit_is_refused_unread(length: str) -> None:
    """Before a byte of it is taken; where the figure is odd, the bytes are counted instead."""
    request = request_with(b"123456", content_length=length)
    with pytest.raises(PayloadTooLargeError):
        await read_body(request, limit=5)


@pytest.mark.parametrize(
    ("headers", "plain"),
    [
        ({"content_type": "application/json"}, True),
        ({"content_type": "APPLICATION/JSON ; charset=utf-8"}, True),
        ({"content_type": "application/json", "content_encoding": "identity"}, True),
        ({}, False),
        ({"content_type": ""}, False),
        ({"content_type": "text/json"}, False),
        ({"content_type": "application/json+x"}, False),
        ({"content_type": "application/json, text/plain"}, False),
        ({"content_type": "application/json", "content_encoding": "gzip"}, False),
        ({"content_type": "application/json", "content_encoding": "identity, br"}, False),
    ],
)
def test_only_uncompressed_json_is_taken(headers: dict[str, str], plain: bool) -> None:
    """By what the headers say; nothing is guessed from the body."""
    if plain:
        require_plain_json(request_with(**headers))
        return
    with pytest.raises(UnsupportedMediaTypeError):
        require_plain_json(request_with(**headers))
