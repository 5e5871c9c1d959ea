"""Reads a JSON body strictly: what parsers disagree on, or Postgres can't store, is refused."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_DEPTH = 64
MAX_DIGITS = 4300  # of an integer
MAX_FORGOTTEN_BYTES = 64 * 1024 * 1024


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body; raise PayloadTooLargeError where it is longer than `limit` bytes.

    Up to a bound, a body that is too long is read to its end and forgotten: many a client and
    gateway sees an answer only after it has sent everything.
    """
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + MAX_FORGOTTEN_BYTES:
            break
    if size > limit:
        raise PayloadTooLargeError(f"The request body is larger than {limit} bytes.")
    return b"".join(chunks)


def require_plain_json(request: Request) -> None:
    """Raise UnsupportedMediaTypeError unless the body says it is uncompressed JSON."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type != "application/json" or encoding != "identity":
        raise UnsupportedMediaTypeError


def parse_json(body: bytes) -> Any:
    """Parse one JSON document.

    Raises InvalidRequestError for anything that isn't UTF-8 JSON, for duplicate keys, NaN and
    infinite numbers, NUL and lone surrogates in text, and nesting deeper than 64.
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


def _require_storable(value: Any, depth: int = 1) -> None:
    if depth > MAX_DEPTH:
        raise InvalidRequestError("The JSON is nested too deep.")
    if isinstance(value, str):
        _require_storable_text(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_storable_text(key)
            _require_storable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _require_storable(item, depth + 1)


def _require_storable_text(text: str) -> None:
    if "\x00" in text:
        raise InvalidRequestError("Text may not hold the NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError("Text may not hold half of a surrogate pair.") from None
