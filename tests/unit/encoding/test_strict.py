"""The strict JSON parser: what it takes, and what it refuses and why."""

import json
from typing import Any

import pytest

from shared.encoding.strict import REQUEST, STORED, JsonRules, parse_json
from shared.errors import InvalidImportError, InvalidRequestError

MAX_DEPTH = REQUEST.max_depth or 0


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


@pytest.mark.promise("strict input")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"  ", "not valid JSON"),
        (b"{", "not valid JSON at character 1"),
        (b"[1,]", "not valid JSON"),
        (b"01", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{} // x", "not valid JSON"),
        (b"'x'", "not valid JSON"),
        (b'"\x00"', "not valid JSON"),
        (b'"\n"', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"9" * 5000, "too large"),
        (b'"\xff"', "not UTF-8"),
        ('"x"'.encode("utf-16"), "not UTF-8"),
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


@pytest.mark.promise("strict input")
def test_nesting_is_allowed_up_to_the_limit() -> None:
    """Lists and objects alike."""
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    parse_json(b'{"a":' * (MAX_DEPTH - 1) + b"1" + b"}" * (MAX_DEPTH - 1))


def test_the_limits_are_the_callers() -> None:
    """With its own error and its own name for what was read; a number keeps its digits or not."""
    rules = JsonRules(subject="file", error=InvalidImportError, max_values=3, max_digits=5)
    assert parse_json(b"[1, 2]", rules) == [1, 2]
    for content, reason in ((b"[1, 2, 3]", "more than 3"), (b"123456", "too large")):
        with pytest.raises(InvalidImportError, match=reason):
            parse_json(content, rules)
    assert parse_json("1.10", STORED).text == "1.10"
    with pytest.raises(InvalidRequestError, match="too large"):
        parse_json("1e200000", STORED)
