"""JSON's values and depth, counted without parsing it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shared.encoding.scan import CHUNK_BYTES, JsonScan

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text('ab"\\[{,]}é\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('k"\\[,'), inner),
)


def count_of(value: object) -> int:
    """Return how many values a JSON value has."""
    return 1 + sum(map(count_of, _items_of(value)))


def depth_of(value: object) -> int:
    """Return how many lists and objects stand around each other in it."""
    is_container = isinstance(value, list | dict)
    return is_container + max(map(depth_of, _items_of(value)), default=0)


def _items_of(value: object) -> list[object]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return list(items)


@given(JSON, st.integers(1, 9))
def test_values_are_counted_whatever_stands_in_texts(value: object, piece: int) -> None:
    """And wherever a piece ends: what looks like structure within a text is none."""
    scan = JsonScan()
    data = json.dumps(value).encode()
    for start in range(0, len(data), piece):
        scan.read(data[start : start + piece])
    containers = data.count(b"[]") + data.count(b"{}")
    assert count_of(value) <= scan.values + 1 <= count_of(value) + max(containers, 1)
    assert scan.deepest == depth_of(value)


def test_a_piece_of_any_size_is_read_as_small_ones_are() -> None:
    """So that none holds the interpreter for long."""
    scan = JsonScan()
    scan.read(b'["\\"' + b"[" * CHUNK_BYTES + b'\\\\",' + b"[" * CHUNK_BYTES * 2)
    assert (scan.values, scan.deepest) == (2 + CHUNK_BYTES * 2, 1 + CHUNK_BYTES * 2)
