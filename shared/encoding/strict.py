"""Reads JSON strictly: what parsers disagree on is refused, and what the caller does not allow."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InvalidRequestError
from .exact import MAX_PLAIN_DIGITS, ExactNumber

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .scan import JsonScan


@dataclass(frozen=True, slots=True)
class JsonRules:
    """What a document may hold, and how a refusal is worded. None is no limit."""

    subject: str = "request body"
    error: type[InvalidRequestError] = InvalidRequestError
    encoding: str = "utf-8"
    max_depth: int | None = 64
    max_values: int | None = 20_000  # text may be long, but no request has that many parts
    max_digits: int = 4300  # of a number, before or behind its point
    is_exact: bool = False  # numbers keep every digit that they were written with
    must_be_storable: bool = True  # Postgres stores neither NUL nor half of a surrogate pair

    def refusal_of(self, scan: JsonScan) -> InvalidRequestError | None:
        """Return what is to be raised instead of parsing a document that holds all this."""
        if self.max_depth and scan.deepest > self.max_depth:
            return self.error(f"The {self.subject} is nested too deep.")
        if self.max_values and scan.values > self.max_values:
            return self.error(f"The {self.subject} holds more than {self.max_values} values.")
        return None


REQUEST = JsonRules()
# Of a request of which all but the last item of a list is skipped: as many as its bytes may hold.
SHORTENED = JsonRules(max_values=400_000)
# What the store answers was checked when it came, and may hold any number that jsonb does.
STORED = JsonRules(
    subject="stored value",
    max_depth=None,
    max_values=None,
    max_digits=140_000,
    is_exact=True,
    must_be_storable=False,
)


def parse_json(content: bytes | str, rules: JsonRules = REQUEST) -> Any:
    """Parse one JSON document.

    Raises the rules' error for anything that isn't JSON in their encoding, for duplicate keys, NaN
    and infinite numbers, and for what the rules don't allow.
    """
    try:
        text = content if isinstance(content, str) else content.decode(rules.encoding)
        value = decoder(rules).decode(text)
    except RecursionError:
        raise rules.error(f"The {rules.subject} is nested too deep.") from None
    except UnicodeDecodeError:
        raise rules.error(f"The {rules.subject} is not UTF-8.") from None
    except json.JSONDecodeError as exc:
        raise rules.error(
            f"The {rules.subject} is not valid JSON at character {exc.pos}."
        ) from None
    if rules.max_depth or rules.max_values or rules.must_be_storable:
        _require_allowed(rules, value)
    return value


def decoder(rules: JsonRules) -> json.JSONDecoder:
    """Return what reads JSON by these rules, but for depth, count and text that can't be stored."""
    return json.JSONDecoder(
        object_pairs_hook=partial(_object, rules),
        parse_constant=partial(_refuse_constant, rules),
        parse_float=partial(_exact if rules.is_exact else _finite, rules),
        parse_int=partial(_integer, rules),
    )


def _object(rules: JsonRules, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise rules.error("A JSON object names a key twice.")
    return value


def _refuse_constant(rules: JsonRules, name: str) -> NoReturn:
    raise rules.error(f"{name} is not a JSON number.")


def _integer(rules: JsonRules, text: str) -> int | ExactNumber:
    if len(text) > rules.max_digits:
        raise rules.error("A number is too large.")
    return ExactNumber(text) if rules.is_exact and len(text) > MAX_PLAIN_DIGITS else int(text)


def _finite(rules: JsonRules, text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise rules.error("A number is too large.")
    return number


def _exact(rules: JsonRules, text: str) -> ExactNumber:
    exponent = text.lower().partition("e")[2]
    if (
        len(text) > rules.max_digits
        or len(exponent) > 6
        or abs(Decimal(text).adjusted()) > rules.max_digits
    ):
        raise rules.error("A number is too large.")
    return ExactNumber(text)


def _require_allowed(rules: JsonRules, value: Any) -> None:
    """Look at every value, level by level."""
    level, depth, count = [value], 1, 0
    while level:
        count += len(level)
        if rules.max_depth and depth > rules.max_depth:
            raise rules.error(f"The {rules.subject} is nested too deep.")
        if rules.max_values and count > rules.max_values:
            raise rules.error(f"The {rules.subject} holds more than {rules.max_values} values.")
        if rules.must_be_storable:
            for text in chain.from_iterable(map(_texts_in, level)):
                _require_storable(rules, text)
        level, depth = list(chain.from_iterable(map(_items_of, level))), depth + 1


def _texts_in(value: Any) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value.keys() if isinstance(value, dict) else ()


def _items_of(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _require_storable(rules: JsonRules, text: str) -> None:
    if "\x00" in text:
        raise rules.error("Text may not hold the NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise rules.error("Text may not hold half of a surrogate pair.") from None
