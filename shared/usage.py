"""Prints what the project's users used and what is stored of them: python -m shared.usage.

Asks the store with the service key, a page of users at a time. Exits with 0; with 2 where a setting
is missing or wrong, with 3 when the store can't be asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .config import ConfigurationError, load_settings
from .config.problems import fail
from .container import Container
from .errors import AppError
from .models.analytics import ProjectUsageRequest
from .observability.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config import Settings
    from .models.analytics import UserUsage

DONE, MISCONFIGURED, UNREACHABLE = 0, 2, 3
HEADINGS = (
    "user", "turns", "failed", "tokens in", "tokens out", "cost", "conversations", "messages", "MB"
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect and print; return the exit code."""
    options = _parser().parse_args(arguments)
    configure_logging("critical")  # what goes wrong is said once, in words
    try:
        users = asyncio.run(_collect(load_settings(), days=options.days))
    except ConfigurationError as exc:
        return fail(f"configuration error: {exc}", MISCONFIGURED)
    except AppError as exc:
        return fail(f"the store can't be asked: {exc}", UNREACHABLE)
    if options.json:
        print(json.dumps([user.model_dump(mode="json", by_alias=True) for user in users]))
    else:
        print(report_of(users, days=options.days, top=options.top))
    return DONE


def report_of(users: Sequence[UserUsage], *, days: int, top: int) -> str:
    """Return the totals, the failures by reason, and the users with the most turns."""
    failures = Counter[str]()
    for user in users:
        failures.update(user.failures)
    ranked = sorted(users, key=lambda user: (user.turns, user.bytes), reverse=True)
    rows = [HEADINGS, ("all", *_figures(users))]
    rows += [(str(user.user_id), *_figures([user])) for user in ranked[:top]]
    reasons = ", ".join(f"{reason} {count}" for reason, count in failures.most_common())
    return "\n".join(
        [
            f"The last {days} days: {len(users)} users",
            f"Failures: {reasons or 'none'}",
            "",
            *_aligned(rows),
        ]
    )


def _figures(users: Sequence[UserUsage]) -> tuple[str, ...]:
    costs = [user.cost for user in users]
    cost = "unknown" if None in costs else f"{sum(filter(None, costs)):.2f}"
    return (
        str(sum(user.turns for user in users)),
        str(sum(sum(user.failures.values()) for user in users)),
        str(sum(user.input_tokens for user in users)),
        str(sum(user.output_tokens for user in users)),
        cost,
        str(sum(user.conversations for user in users)),
        str(sum(user.messages for user in users)),
        f"{sum(user.bytes for user in users) / 1e6:.1f}",
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


async def _collect(settings: Settings, *, days: int) -> list[UserUsage]:
    container = Container(settings)
    now = datetime.now(UTC)
    users: list[UserUsage] = []
    try:
        more = True
        while more:
            request = ProjectUsageRequest.model_construct(
                starts_at=now - timedelta(days=days),
                ends_at=now,
                after=users[-1].user_id if users else None,
                limit=100,
            )
            page = await container.persistence.project_usage(request, prices=settings.model_prices)
            users += page.users
            more = page.more
            print(f"\r{len(users)} users", end="", file=sys.stderr, flush=True)
    finally:
        print("\r", end="", file=sys.stderr)
        await container.aclose()
    return users


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}.usage", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--days", type=int, default=30, choices=range(1, 3661), metavar="N")
    parser.add_argument("--top", type=int, default=20, help="users to list (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print every user as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
