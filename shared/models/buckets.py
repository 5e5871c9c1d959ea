"""Where the hours, days, weeks and months of a time zone begin."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import TYPE_CHECKING, Final, Literal
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

Bucket = Literal["hour", "day", "week", "month"]

MOST: Final = 400
NAME: Final = re.compile(r"UTC|Etc/GMT[+-]\d{1,2}|[A-Za-z_]+(/[A-Za-z_-]+){1,2}")
LONGEST: Final = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}


def known_zone(name: str) -> str:
    """Return the name of a time zone; raises ValueError for any other."""
    try:
        if NAME.fullmatch(name):
            return ZoneInfo(name).key
    except (OSError, LookupError):
        pass  # a folder of zones, or nothing of that name
    raise ValueError("should be an IANA name such as Europe/Berlin")


def bucket_bounds(
    starts_at: datetime, ends_at: datetime, bucket: Bucket, zone: str
) -> list[datetime]:
    """Return where the buckets begin that cover a range, and where the last of them ends.

    Raises ValueError for more than 400 of them.
    """
    bounds: list[datetime] = []
    try:
        for start in _starts(starts_at.astimezone(UTC), bucket, ZoneInfo(zone)):
            if start <= starts_at:
                bounds = [start]
            elif start > bounds[-1]:
                bounds.append(start)
            if start >= ends_at:
                return bounds
            if len(bounds) > MOST:
                break
    except OverflowError:
        raise ValueError("from and to should be within the years 1 to 9999") from None
    raise ValueError(f"at most {MOST} buckets should lie between from and to")


def _starts(moment: datetime, bucket: Bucket, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield where buckets begin, from one that does before this moment on."""
    if bucket == "hour":
        for hours in count(-2):
            yield from _hour(moment + timedelta(hours=hours), zone)
        return
    day = _first_day(moment.astimezone(zone).date() - timedelta(days=1), bucket)
    while True:
        # The first midnight where the clock shows two, and where none the moment that it skips it.
        yield datetime.combine(day, time(), zone).astimezone(UTC)
        day = _first_day(day + LONGEST[bucket], bucket)


def _hour(moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield where the hour of a moment begins, if the clock shows it as a full one.

    Hours pass alike, whatever the clock shows: one that it shows twice is two.
    """
    local = moment.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    if (moment - past).astimezone(zone).minute == 0:
        yield moment - past


def _first_day(day: date, bucket: Bucket) -> date:
    """Return the day with which a day's bucket begins: of a week Monday."""
    if bucket == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday() if bucket == "week" else 0)
