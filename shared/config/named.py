"""What a setting names as `package.module:name`."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load_named(path: str) -> Any:
    """Return what the name stands for; raise ValueError, in one line."""
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ValueError(f"{path!r} is not of the form package.module:name.")
    try:
        module = import_module(module_name)
    except Exception as exc:
        raise ValueError(f"{module_name!r} can't be imported: {_line_of(exc)}") from exc
    if not hasattr(module, name):
        raise ValueError(f"{module_name!r} has no {name!r}.")
    return getattr(module, name)


def _line_of(exc: Exception) -> str:
    first = (str(exc).splitlines() or [""])[0]
    return f"{type(exc).__name__}: {first}"
