"""Limits that hold before anything of a file is parsed."""

import io

import pytest

from shared.errors import InvalidImportError
from shared.imports import budget as module
from shared.imports.budget import MAX_DEPTH, Budget


def test_what_is_nested_too_deep_is_refused() -> None:
    """Just as deep as may be is not."""
    Budget(10**6).take(io.BytesIO(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH))
    with pytest.raises(InvalidImportError, match="too deep"):
        Budget(10**6).take(io.BytesIO(b'[{"a":' * MAX_DEPTH))


def test_values_and_bytes_are_counted_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small files are one large one."""
    monkeypatch.setattr(module, "MAX_VALUES", 100)
    budget = Budget(10**6)
    budget.take(io.BytesIO(b"[1,2]" * 20))
    with pytest.raises(InvalidImportError, match="100 values"):
        budget.take(io.BytesIO(b"[1,2]" * 40))
    with pytest.raises(InvalidImportError, match="inflates"):
        Budget(200).take(io.BytesIO(b" " * 201))
