"""Limits that hold before anything is parsed."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidImportError
from shared.imports import scan
from shared.imports.scan import MAX_DEPTH, Budget

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text('ab"\\[{,]}é\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('k"\\[,'), inner),
)


def count_of(value: object) -> int:
    """Return how many values a JSON value has."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count_of, items))


@given(JSON, st.integers(1, 9))
def test_values_are_counted_whatever_stands_in_texts(value: object, chunk: int) -> None:
    """And wherever a chunk ends: what looks like structure within a text is none."""
    found = scan._Scan()
    data = json.dumps(value).encode()
    counted = sum(found.values_in(data[n : n + chunk]) for n in range(0, len(data), chunk))
    containers = data.count(b"[]") + data.count(b"{}")
    assert count_of(value) <= counted + 1 <= count_of(value) + max(containers, 1)
    assert found._depth == 0


def test_what_is_nested_too_deep_is_refused() -> None:
    """Just as deep as may be is not."""
    Budget(10**6).take(io.BytesIO(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH))
    with pytest.raises(InvalidImportError, match="too deep"):
        Budget(10**6).take(io.BytesIO(b'[{"a":' * MAX_DEPTH))


def test_values_and_bytes_are_counted_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small files are one large one."""
    monkeypatch.setattr(scan, "MAX_VALUES", 100)
    budget = Budget(10**6)
    budget.take(io.BytesIO(b"[1,2]" * 20))
    with pytest.raises(InvalidImportError, match="100 values"):
        budget.take(io.BytesIO(b"[1,2]" * 40))
    with pytest.raises(InvalidImportError, match="inflates"):
        Budget(200).take(io.BytesIO(b" " * 201))
