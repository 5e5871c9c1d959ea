"""Reads JSON strictly: what parsers disagree on, or Postgres can't store, is refused."""

from __future__ import annotations

import asyncio
import json
import math
from itertools import chain
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 64
MAX_DIGITS = 4300  # of an integer
MAX_VALUES = 100_000  # text may be long, but nothing that is sent here has that many parts
LARGE = 64 * 1024


async def parse_beside(body: bytes) -> Any:
    """Parse as `parse_json`; a large body in a thread, so that no other request waits for it."""
    return parse_json(body) if len(body) < LARGE else await asyncio.to_thread(parse_json, body)


def parse_json(body: bytes) -> Any:
    """Parse one JSON document.

    Raises InvalidRequestError for anything that isn't UTF-8 JSON, for duplicate keys, NaN and
    infinite numbers, NUL and lone surrogates in text, nesting deeper than 64, and more values
    than requests have.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise InvalidRequestError("The JSON is nested too deep.") from None
    except UnicodeDecodeError:
        raise InvalidRequestError("The request body is not UTF-8.") from None
    except json.JSONDecodeError as exc:
        where = f" at character {exc.pos}"
        raise InvalidRequestError(f"The request body is not valid JSON{where}.") from None
    _require_storable(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidRequestError("A JSON object names a key twice.")
    return value


def _refuse_constant(name: str) -> Any:
    raise InvalidRequestError(f"{name} is not a JSON number.")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidRequestError("A number is too large.")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidRequestError("A number is too large.")
    return number


def _require_storable(value: Any) -> None:
    """Look at every value, level by level."""
    level, depth, count = [value], 1, 0
    while level:
        count += len(level)
        if depth > MAX_DEPTH:
            raise InvalidRequestError("The JSON is nested too deep.")
        if count > MAX_VALUES:
            raise InvalidRequestError(f"The JSON holds more than {MAX_VALUES} values.")
        for text in chain.from_iterable(map(_texts_in, level)):
            _require_storable_text(text)
        level, depth = list(chain.from_iterable(map(_items_of, level))), depth + 1


def _texts_in(value: Any) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value.keys() if isinstance(value, dict) else ()


def _items_of(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _require_storable_text(text: str) -> None:
    if "\x00" in text:
        raise InvalidRequestError("Text may not hold the NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError("Text may not hold half of a surrogate pair.") from None
