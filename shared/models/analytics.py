"""Figures of a user's turns: what conversation-analytics takes and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from .base import Envelope, Limit, Moment, PlainUuid, RequestBody
from .buckets import Bucket, bucket_bounds, known_zone

if TYPE_CHECKING:
    from datetime import datetime


class RangeRequest(RequestBody):
    """Turns begun at `from` or later and before `to`."""

    starts_at: Moment = Field(alias="from", examples=["2026-11-01T00:00:00Z"])
    ends_at: Moment = Field(alias="to", examples=["2026-12-01T00:00:00Z"])

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.starts_at >= self.ends_at:
            raise ValueError("from should be before to")
        return self


class ConversationAnalyticsRequest(RangeRequest):
    """Turns begun at `from` or later and before `to`, by the clock of `timeZone`."""

    EXAMPLE: ClassVar = {
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-12-01T00:00:00Z",
        "bucket": "day",
        "timeZone": "Europe/Berlin",
    }

    bucket: Bucket = "day"
    time_zone: Annotated[str, Field(max_length=64), AfterValidator(known_zone)] = Field(
        default="UTC", examples=["Europe/Berlin"], description="An IANA name."
    )
    project_id: PlainUuid | None = None
    user_id: PlainUuid | None = None

    @model_validator(mode="after")
    def _in_buckets(self) -> Self:
        self.bounds()
        return self

    def bounds(self) -> list[datetime]:
        """Return where the buckets begin, and where the last of them ends."""
        return bucket_bounds(self.starts_at, self.ends_at, self.bucket, self.time_zone)


class Spread(Envelope):
    """Seconds: the median and the 95th percentile of so many turns. Null where there are none."""

    measured: int
    median: float | None
    p95: float | None


class UsageFigures(Envelope):
    """Tokens of the turns whose engine counted any. `cost` is null if a price is unknown."""

    turns: int
    input_tokens: int
    output_tokens: int
    cost: float | None


class PersistenceFigures(Envelope):
    """How well turns were kept.

    Replays were given what their key had led to before; a recovered turn was completed by another
    worker than its first.
    """

    replays_deduplicated: int
    recovered: int
    time_to_first_persist: Spread


class Figures(Envelope):
    """Counts of turns by how they ended, and what they took.

    `successRate` is completed / (completed + failed + interrupted). `duration` runs from the
    stored request to the stored reply, of turns that were not interrupted.
    """

    turns: int
    running: int
    completed: int
    failed: int
    cancelled: int
    interrupted: int
    success_rate: float | None
    duration: Spread
    files_generated: int
    usage: UsageFigures
    persistence: PersistenceFigures


class BucketFigures(Figures):
    """The same of one hour, day, week or month, as far as it lies in the range."""

    start: str
    end: str


class NamedTurns(Envelope):
    """In how many turns there was this."""

    name: str
    turns: int


class ModelUsage(Envelope):
    """Tokens of one engine; `cost` is null where MODEL_PRICES has no price for it."""

    name: str | None
    turns: int
    input_tokens: int
    output_tokens: int
    cost: float | None


class ConversationAnalyticsResponse(Envelope):
    """All of the range, each bucket of it, and the 20 most frequent of each kind."""

    totals: Figures
    buckets: list[BucketFigures]
    intents: list[NamedTurns]
    complexities: list[NamedTurns]
    strategies: list[NamedTurns]
    models: list[ModelUsage]


class ProjectUsageRequest(RangeRequest):
    """A page of the project's users, by their ids: those behind `after`, 100 at most."""

    EXAMPLE: ClassVar = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}

    after: PlainUuid | None = None
    limit: Limit = 100


class UserUsage(Envelope):
    """What a user's turns of the range came to, and what is stored of the user now.

    `failures` counts failed and interrupted turns by reason. `cost` is null if a price is
    unknown. `bytes` is the size of the messages on disk, compressed. Turns of deleted
    conversations are not in it.
    """

    user_id: UUID
    turns: int
    completed: int
    failures: dict[str, int]
    input_tokens: int
    output_tokens: int
    cost: float | None
    conversations: int
    messages: int
    bytes: int


class ProjectUsageResponse(Envelope):
    """Users in the order of their ids. With `more`, ask again `after` the last of them."""

    users: list[UserUsage]
    more: bool
