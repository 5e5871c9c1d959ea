"""Strict JSON: what is read here can always be written again for a JavaScript client."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, NoReturn


class JsonError(ValueError):
    """The text is not JSON."""


def load_json(text: str | bytes) -> Any:
    """Parse JSON text; raise JsonError for anything else, NaN and infinite numbers included."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise JsonError("not JSON") from exc


def dump_json(value: Any) -> str:
    """Write compact ASCII JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def size_of(value: Any) -> int:
    """Count the octets of a payload as it was sent: bytes as they are, the rest as UTF-8 JSON.

    What is nested too deeply to be written again counts as endless.
    """
    if isinstance(value, bytes):
        return len(value)
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        return sys.maxsize
    return len(text.encode(errors="surrogatepass"))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
