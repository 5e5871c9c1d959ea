"""What every request, answer and row is made of.

Envelope fields are camelCase on the wire; rows keep the database's names, exactly as a Supabase
client returns them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
)
from pydantic.alias_generators import to_camel

from ..encoding.sizes import (
    MAX_GIVEN_METADATA_BYTES,
    MAX_TEXT_BYTES,
    stored_size,
    text_size,
)

MAX_LIMIT = 200

MAX_SEQ = 2**53 - 1

MAX_METADATA_KEYS = 100

MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _plain_uuid(value: Any) -> Any:
    """Accept the canonical form alone, not the urn:, braced or bare-hex ones."""
    if isinstance(value, str) and len(value) != 36:
        raise ValueError("should be a uuid such as 6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("should not be blank")
    return value


def _short_enough(value: str) -> str:
    if text_size(value) > MAX_TEXT_BYTES:
        raise ValueError(f"should take at most {MAX_TEXT_BYTES} bytes as JSON")
    return value


def _small_enough(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if stored_size(value) > MAX_GIVEN_METADATA_BYTES:
        raise ValueError(
            f"should take at most {MAX_GIVEN_METADATA_BYTES} bytes, its numbers written out"
        )
    return value


def _written_out(value: Any) -> Any:
    """Accept a moment as RFC 3339 writes it, not a number of seconds."""
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        raise ValueError("should be a moment such as 2026-11-22T10:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    """Return the same moment in UTC: offsets reach further than Postgres reads them."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999") from None


def _with_example(schema: dict[str, Any], request: type[RequestBody]) -> None:
    if request.EXAMPLE is not None:
        schema["example"] = request.EXAMPLE


PlainUuid = Annotated[UUID, BeforeValidator(_plain_uuid)]

Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]

Text = Annotated[
    str, Field(min_length=1), AfterValidator(_not_blank), AfterValidator(_short_enough)
]

Piece = Annotated[str, AfterValidator(_short_enough)]

Metadata = Annotated[
    dict[str, JsonValue], Field(max_length=MAX_METADATA_KEYS), AfterValidator(_small_enough)
]

Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]

Seq = Annotated[int, Field(ge=0, le=MAX_SEQ, strict=True)]

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, strict=True)]

Cursor = Annotated[str, Field(max_length=500)]


class Envelope(BaseModel):
    """Anything of ours on the wire: camelCase outside, snake_case inside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class RequestBody(Envelope):
    """A request, as a body or a query: unknown fields are refused rather than ignored.

    Of the list in the field `LAST_ALONE` all but the last item is skipped before it is parsed.
    """

    EXAMPLE: ClassVar[dict[str, Any] | None] = None
    LAST_ALONE: ClassVar[str | None] = None
    TOO_LARGE_HINT: ClassVar[str | None] = None

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        frozen=True,
        json_schema_extra=_with_example,
    )


class Row(BaseModel):
    """A database row, passed on as it is; columns that a newer schema adds pass too."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ErrorResponse(BaseModel):
    """Every error, in the shape that Supabase clients know."""

    code: str
    message: str
    details: Any = None
    hint: str | None = None
