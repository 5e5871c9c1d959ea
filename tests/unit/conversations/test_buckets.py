"""Hours, days, weeks and months of a time zone, whatever its clock does."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.models.analytics import ConversationAnalyticsRequest
from shared.models.buckets import MOST, Bucket, bucket_bounds

BOUNDS: dict[str, tuple[str, str, Bucket, str, list[str]]] = {
    "an hour that is shown twice is two": (
        "2026-11-01T04:00Z", "2026-11-01T08:00Z", "hour", "America/New_York",
        ["11-01 04:00", "11-01 05:00", "11-01 06:00", "11-01 07:00", "11-01 08:00"],
    ),
    "an hour that is skipped is none": (
        "2026-03-29T00:00Z", "2026-03-29T03:00Z", "hour", "Europe/Berlin",
        ["03-29 00:00", "03-29 01:00", "03-29 02:00", "03-29 03:00"],
    ),
    "hours of a zone with a half": (
        "2026-11-01T00:00Z", "2026-11-01T02:00Z", "hour", "Asia/Kolkata",
        ["10-31 23:30", "11-01 00:30", "11-01 01:30", "11-01 02:30"],
    ),
    "days of a zone with a half": (
        "2026-11-01T00:00Z", "2026-11-02T00:00Z", "day", "Asia/Kolkata",
        ["10-31 18:30", "11-01 18:30", "11-02 18:30"],
    ),
    "hours of a zone with three quarters": (
        "2026-11-01T00:00Z", "2026-11-01T01:00Z", "hour", "Asia/Kathmandu",
        ["10-31 23:15", "11-01 00:15", "11-01 01:15"],
    ),
    "clocks that go back by half an hour": (
        "2026-04-04T14:00Z", "2026-04-04T17:00Z", "hour", "Australia/Lord_Howe",
        ["04-04 14:00", "04-04 15:30", "04-04 16:30", "04-04 17:30"],
    ),
    "a range that begins in the half hour shown twice": (
        "2026-04-04T15:10Z", "2026-04-04T15:20Z", "hour", "Australia/Lord_Howe",
        ["04-04 14:00", "04-04 15:30"],
    ),
    "clocks that go forward by half an hour": (
        "2026-10-03T14:30Z", "2026-10-03T17:00Z", "hour", "Australia/Lord_Howe",
        ["10-03 14:30", "10-03 16:00", "10-03 17:00"],
    ),
    "a day with two midnights begins at the first": (
        "2026-10-24T12:00Z", "2026-10-26T01:00Z", "day", "Atlantic/Azores",
        ["10-24 00:00", "10-25 00:00", "10-26 01:00"],
    ),
    "a day without a midnight begins after it": (
        "2026-04-23T22:00Z", "2026-04-24T21:00Z", "day", "Africa/Cairo",
        ["04-23 22:00", "04-24 21:00"],
    ),
    "weeks begin on Monday": (
        "2026-10-22T00:00Z", "2026-11-02T00:00Z", "week", "Europe/Berlin",
        ["10-18 22:00", "10-25 23:00", "11-01 23:00", "11-08 23:00"],
    ),
    "months": (
        "2026-02-10T00:00Z", "2026-04-10T00:00Z", "month", "Europe/Berlin",
        ["01-31 23:00", "02-28 23:00", "03-31 22:00", "04-30 22:00"],
    ),
}  # fmt: skip


def asked(**changed: Any) -> ConversationAnalyticsRequest:
    """Return a request for two days, changed in this."""
    plain = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-03T00:00:00Z"}
    return ConversationAnalyticsRequest.model_validate(plain | changed)


@pytest.mark.promise("analytics", red="the second midnight is taken")
@pytest.mark.parametrize("name", BOUNDS)
def test_buckets_are_those_of_the_zones_clock(name: str) -> None:
    """They follow each other without a gap, whatever the clock does."""
    starts_at, ends_at, bucket, zone, expected = BOUNDS[name]
    first, last = map(datetime.fromisoformat, (starts_at, ends_at))
    found = bucket_bounds(first, last, bucket, zone)
    assert [moment.strftime("%m-%d %H:%M") for moment in found] == expected


REFUSED: dict[str, dict[str, Any]] = {
    "no range": {"to": "2026-11-01T00:00:00Z"},
    "a range that runs back": {"to": "2026-10-01T00:00:00Z"},
    "a day before all days": {"from": "0001-01-01T00:00:00Z", "to": "0001-01-02T00:00:00Z"},
    "a day after all days": {"from": "9999-12-31T00:00:00Z", "to": "9999-12-31T01:00:00Z"},
    "401 days": {"to": "2027-12-07T00:00:00Z"},
    "another bucket": {"bucket": "minute"},
    "no bucket": {"bucket": None},
    "a zone of nowhere": {"timeZone": "Europe/Nowhere"},
    "a folder of zones": {"timeZone": "America/Argentina"},
    "a file that is no zone": {"timeZone": "../passwd"},
    "an abbreviation, which has no summer": {"timeZone": "PST"},
    "a formula": {"timeZone": "UTC+3"},
    "a formula that looks like a name": {"timeZone": "Foo/Bar+3"},
    "no zone": {"timeZone": None},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_counted_is_refused(name: str) -> None:
    """Before the store is asked."""
    assert len(asked().bounds()) == 3
    with pytest.raises(ValidationError):
        asked(**REFUSED[name])


@pytest.mark.parametrize(
    ("bucket", "end"),
    [
        ("hour", "2024-01-17T16:00:00Z"),
        ("day", "2025-02-04T00:00:00Z"),
        ("week", "2031-09-01T00:00:00Z"),
        ("month", "2057-05-01T00:00:00Z"),
    ],
)
def test_400_buckets_are_allowed(bucket: Bucket, end: str) -> None:
    """Exactly so many, and not one more, for each kind."""
    starts_at, ends_at = map(datetime.fromisoformat, ("2024-01-01T00:00:00Z", end))
    assert len(bucket_bounds(starts_at, ends_at, bucket, "UTC")) == MOST + 1
    with pytest.raises(ValueError, match="at most 400 buckets"):
        bucket_bounds(starts_at, ends_at + timedelta(seconds=1), bucket, "UTC")
