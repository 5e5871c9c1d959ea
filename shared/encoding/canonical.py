"""JSON in one form only, so that equal values have equal bytes: what a checksum is made over.

As RFC 8785 has it: no white space, members sorted by UTF-16, the shortest escapes, UTF-8. But
numbers keep every digit, where RFC 8785 makes them doubles: 1, 1.0 and 1e0 are written `1`, and
what is smaller than 1e-6 or has more than 21 digits before the point as in `1.5e-9`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from .exact import ExactNumber


def canonical(value: Any) -> str:
    """Return a JSON value's one form. Raises ValueError for NaN and the infinite floats."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=_utf16)
        return (
            "{"
            + ",".join(f"{encode_basestring(key)}:{canonical(item)}" for key, item in members)
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _number(value)


def _utf16(member: tuple[str, Any]) -> bytes:
    return member[0].encode("utf-16-be", "surrogatepass")


def _number(number: float) -> str:
    if type(number) is int:
        source = str(number)
    elif isinstance(number, ExactNumber):
        source = number.text
    elif math.isfinite(number):
        source = repr(number)
    else:
        raise ValueError("not a JSON number")
    sign, digits, exponent = Decimal(source).as_tuple()
    plain = "".join(map(str, digits)).lstrip("0")
    kept = plain.rstrip("0")
    return _written("-" * sign, kept, int(exponent) + len(plain)) if kept else "0"


def _written(sign: str, digits: str, point: int) -> str:
    """Write digits whose decimal point stands behind the first `point` of them."""
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{sign}{mantissa}e{point - 1:+d}"
