"""Times and titles of what is imported."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from shared.imports.parsed import (
    EPOCH,
    ParsedConversation,
    ParsedMessage,
    fitting_title,
    moment_of,
    set_times,
)

pytestmark = pytest.mark.promise("imports")

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NO_MOMENTS: list[Any] = [
    None, True, "", "yesterday", {}, [], -1, 1e300, float("inf"), float("nan"), 10**400,
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2099-01-01", 4_000_000_000,
]  # fmt: skip
TICK = timedelta(microseconds=1)


def at(second: int) -> datetime:
    """Return a moment of this year."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)


def times_of(*given: datetime | None, created_at: datetime | None = None) -> list[datetime]:
    """Return the times that messages get."""
    messages = [ParsedMessage("user", "x", moment) for moment in given]
    conversation = ParsedConversation("list", "id", "T", messages, created_at=created_at)
    set_times(conversation, NOW)
    return [message.at for message in messages if message.at]


def test_times_that_grow_are_kept() -> None:
    """To the microsecond."""
    assert times_of(at(1), at(1) + TICK, at(9)) == [at(1), at(1) + TICK, at(9)]


@pytest.mark.parametrize(
    "given",
    [(None, None, None), (at(5), at(5), at(5)), (at(9), at(3), None), (None, at(4), None, at(2))],
)
@pytest.mark.parametrize("created_at", [None, at(0), at(100), NOW])
def test_odd_clocks_still_give_one_order(given: Any, created_at: datetime | None) -> None:
    """Missing, equal and backward times: every message is later than the one before it."""
    times = times_of(*given, created_at=created_at)
    assert len(times) == len(given)
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[-1] <= NOW
    assert times[0] == given[0] or given[0] is None


def test_no_time_is_before_1970() -> None:
    """Where a file begins there with a message of no time: an export of it must be importable."""
    assert times_of(None, EPOCH, None, created_at=EPOCH) == [EPOCH, EPOCH + TICK, EPOCH + 2 * TICK]


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1_700_000_000_250, datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
        (1_700_000_000_250_000, datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
        ("1700000000.25", datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
        ("1700000000250", datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
        (1_700_000_000.25, datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
        ("2025-03-01T10:00:00.123456Z", datetime(2025, 3, 1, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2025-03-01T10:00:00+02:00", datetime(2025, 3, 1, 8, tzinfo=UTC)),
        ("2025-03-01T10:00:00", datetime(2025, 3, 1, 10, tzinfo=UTC)),
        *((odd, None) for odd in NO_MOMENTS),
    ],
)  # fmt: skip
def test_a_moment_is_read_or_is_none(value: Any, moment: datetime | None) -> None:
    """Seconds, milliseconds, microseconds and ISO; what is before 1970 or to come is missing."""
    assert moment_of(value, NOW) == moment


@pytest.mark.parametrize(
    ("title", "fitting"),
    [
        ("A plan", "A plan"),
        (" A\n plan ", "A plan"),
        ("x" * 300, "x" * 200),
        ("", "Hello there"),
        (None, "Hello there"),
        (5, "Hello there"),
    ],
)
def test_a_title_fits_or_is_how_the_first_message_begins(title: Any, fitting: str) -> None:
    """One line of at most 200 characters."""
    said = [ParsedMessage("assistant", "I", None), ParsedMessage("user", " Hello\nthere ", None)]
    assert fitting_title(title, said) == fitting
    assert fitting_title("  ", said[:1]) == "New Chat"
