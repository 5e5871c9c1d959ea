"""The opaque cursor of a list: where the next page begins, as the store said it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import InvalidRequestError

PlaceT = TypeVar("PlaceT", bound=BaseModel)


def encode_cursor(place: BaseModel) -> str:
    """Return a place as text that fits into a URL."""
    values = list(place.model_dump(mode="json").values())
    text = json.dumps(values, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(model: type[PlaceT], cursor: str) -> PlaceT:
    """Return the place that a cursor stands for; raise InvalidRequestError on any other text."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return model.model_validate(dict(zip(model.model_fields, values, strict=True)))
    except (ValueError, TypeError, RecursionError, binascii.Error, ValidationError):
        raise InvalidRequestError("cursor is not one that this endpoint gave.") from None
