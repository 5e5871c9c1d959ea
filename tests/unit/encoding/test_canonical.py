"""Equal values have equal bytes, and no digit is lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.encoding.canonical import canonical
from shared.encoding.exact import ExactNumber
from shared.encoding.strict import STORED, parse_json

pytestmark = pytest.mark.promise("exports", red="1e21 read as a double by the test itself")

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_what_is_written_reads_back_and_is_written_the_same(value: object) -> None:
    """For any JSON value, also through another writer's spaces, escapes and order."""
    text = canonical(value)
    json.loads(text)
    assert canonical(parse_json(text, STORED)) == text
    assert canonical(parse_json(json.dumps(value, indent=1), STORED)) == text


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        (["0", "-0", "0.0", "-0e5"], "0"),
        (["1", "1.0", "1e0", "10e-1"], "1"),
        (["100", "1e2", "1E+2"], "100"),
        (["0.000001", "1e-6"], "0.000001"),
        (["0.0000001", "1e-7"], "1e-7"),
        (["100000000000000000000", "1e20"], "100000000000000000000"),
        (["1e21", "1000000000000000000000"], "1e+21"),
        (["-12.50", "-1.25e1"], "-12.5"),
        (["1e400", "1" + "0" * 400], "1e+400"),
        (["12345678901234567890.123456789"], "12345678901234567890.123456789"),
        (["9" * 5000], "9." + "9" * 4999 + "e+4999"),
    ],
)
def test_a_number_has_one_form_and_every_digit(texts: list[str], written: str) -> None:
    """However it was written."""
    assert {canonical(parse_json(text, STORED)) for text in texts} == {written}


def test_members_are_sorted_as_rfc_8785_says_and_escapes_are_the_shortest() -> None:
    """By UTF-16 code units, which differ from code points above the first plane."""
    value = {"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3, "\r": 4, "1": 5, "\x80": 6}
    order = ["\r", "1", "\x80", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(value))) == order
    assert (
        canonical("\u20ac$\x0f\nA'B\"\\/\x7f\u2028") == '"\u20ac$\\u000f\\nA\'B\\"\\\\/\x7f\u2028"'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_is_no_json_number_is_refused(value: object) -> None:
    """Rather than written as something that nobody can read."""
    with pytest.raises(ValueError, match="not a JSON number"):
        canonical(value)


def test_an_exact_number_is_a_float_to_others() -> None:
    """So that it passes through code that doesn't know it."""
    number = ExactNumber("1.50")
    assert (number, json.dumps([number]), canonical([number])) == (1.5, "[1.5]", "[1.5]")
