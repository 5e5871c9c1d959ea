"""Checks that what is stored is whole, and mends it: python -m shared.doctor [--repair] [--json].

Asks the store alone, with the service key, so it works against any project. Exits with 0 when all
is well, 1 when something is broken (after a repair: still), 2 where a setting is missing or wrong,
3 when the store can't be asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jwt

from .auth.caller import Caller
from .config import ConfigurationError, load_settings
from .config.problems import fail
from .container import Container
from .errors import (
    AppError,
    SchemaBehindError,
    SchemaNotServedError,
    StoreUnavailableError,
)
from .integrity.examination import check_everything, repair_everything
from .integrity.health import GRACE_SECONDS
from .observability.logs import configure_logging
from .persistence.integrity import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .config import Settings
    from .integrity.examination import Findings
    from .models.integrity import MissingPart
    from .persistence import Persistence

WELL, BROKEN, MISCONFIGURED, UNREACHABLE = 0, 1, 2, 3

NOBODY_ID = UUID(int=0)
NOBODY = Caller(NOBODY_ID, jwt.encode({}, "", algorithm="none"))  # Postgres asks for no signature

REMEDIES = {
    "settled_turn_without_reply": "point it to its reply, or store an interrupted one",
    "turn_with_two_replies": "keep one, leave the other outside of the turn",
    "seq_gap": "number the messages again, in their order",
    "seq_tie": "number the messages again, in their order",
    "last_seq_wrong": "set it to the newest message's",
    "created_at_out_of_order": "make it grow by a microsecond where it doesn't",
    "branch_wrong": "give each message that of its place; all one, where there is no tree",
    "key_used_twice": "add the turn's id to the later key",
    "row_of_another_owner": "give it to the conversation's owner; what strayed in, back",
    "turn_without_worker": "settle it as interrupted",
    "conversation_missing": "recover it, if the account exists",
    "message_of_unknown_turn": "leave it outside of any turn",
    "draft_left_behind": "remove it",
    "import_left_behind": "remove it",
    "summary_of_no_message": "remove it",
    "words_of_no_message": "remove them",
    "watermark_too_high": "lower it, so that what is missing is indexed next",
}
EXAMPLES = 5
NO_REMEDY = "nothing: what was said can't be made up"
BEYOND_REPAIR = {"turn_without_message", "content_not_of_parts"}

MISSING = {
    "listen_policy": "Nobody can listen to live events: the platform refused the policy for it.",
    "scheduled_jobs": "pg_cron is there, and the jobs are not scheduled.",
}


@dataclass
class Report:
    """What the doctor found in every store, and how much was mended where that was asked for."""

    findings: list[Findings] = field(default_factory=list)
    missing: dict[str, MissingPart] = field(default_factory=dict)
    repaired: Counter[str] | None = None

    def broken(self) -> dict[str, list[UUID]]:
        """Return the ids of what each check found, by its name."""
        names = dict.fromkeys(name for found in self.findings for name in found.checks)
        return {name: [row for found in self.findings for row in found.of(name)] for name in names}

    def failed(self) -> list[str]:
        """Return the checks that found something."""
        return [name for name, found in self.broken().items() if found]

    @property
    def is_well(self) -> bool:
        """Whether nothing is broken or missing."""
        return not self.failed() and not self.missing

    def as_json(self) -> dict[str, Any]:
        """Return it as one object; without a repair, nothing of one."""
        checks = [
            {
                "name": name,
                "broken": len(found),
                "examples": list(map(str, found[:EXAMPLES])),
                "repairable": name not in BEYOND_REPAIR,
            }
            for name, found in self.broken().items()
        ]
        missing = [part.model_dump() for part in self.missing.values()]
        repaired = {} if self.repaired is None else {"repaired": self.repaired}
        return {**repaired, "checks": checks, "missing": missing}


def table_of(broken: Mapping[str, Sequence[UUID]]) -> str:
    """Return the checks as aligned lines; each example has a line, the remedy only where needed."""
    rows = [("check", "broken", "example", "what a repair does")]
    for name, found in broken.items():
        first, *others = [str(example) for example in found[:EXAMPLES]] or [""]
        remedy = NO_REMEDY if name in BEYOND_REPAIR else REMEDIES.get(name, "")
        rows.append((name, str(len(found)), first, remedy if found else ""))
        rows += [("", "", other, "") for other in others]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:{widths[2]}}  {row[3]}".rstrip()
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, and repair where that is asked for; return the exit code."""
    options = _parser().parse_args(arguments)
    configure_logging("critical")  # what goes wrong is said once, in words
    try:
        settings = load_settings()
        report = asyncio.run(_examine(settings, options))
    except ConfigurationError as exc:
        return fail(f"configuration error: {exc}", MISCONFIGURED)
    except AppError as exc:
        return fail(_why_not(exc, settings), UNREACHABLE)
    _print_report(report, as_json=options.json)
    return WELL if report.is_well else BROKEN


def _why_not(exc: AppError, settings: Settings) -> str:
    """Say in words why the store can't be asked."""
    is_direct = _is_direct(settings)
    store = "store that SUPABASE_DB_URL names" if is_direct else f"store at {settings.supabase_url}"
    match exc:
        case StoreUnavailableError():
            why = f": {exc.reason}" if is_direct and exc.reason else ""
            return f"the {store} can't be reached{why}"
        case SchemaNotServedError():
            return (
                f"the Data API at {settings.supabase_url} doesn't serve the schema"
                f" {settings.database_schema} (DATABASE_SCHEMA): add it to the exposed schemas"
            )
        case SchemaBehindError():
            return (
                f"the schema at {settings.supabase_url} is older than this: apply the migrations up"
                f" to {SCHEMA_VERSION} (supabase db push)"
            )
    return f"the {store} refused: is the key right?"


def _is_direct(settings: Settings) -> bool:
    return bool(settings.supabase_db_url or settings.supabase_db_urls)


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.doctor", description=summary)
    parser.add_argument("--repair", action="store_true", help="mend what can be mended")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=GRACE_SECONDS,
        help="seconds that a turn's lease may be over (default: %(default)s)",
    )
    return parser


def _seconds(text: str) -> int:
    seconds = int(text)
    if not 0 <= seconds <= 2**31 - 1:
        raise ValueError
    return seconds


async def _examine(settings: Settings, options: argparse.Namespace) -> Report:
    """Look at each store by itself, so that what a move left behind is looked at too."""
    container = Container(settings)
    try:
        for store in container.stores.values():
            if await store.ping() < SCHEMA_VERSION:
                raise SchemaBehindError
            if _is_direct(settings):  # the login role may lack one of the two that it becomes
                await store.plan_export(NOBODY_ID, caller=NOBODY, after=None, most_bytes=1)
        report = Report(repaired=Counter() if options.repair else None)
        for store in container.stores.values():
            report.missing |= {part.name: part for part in (await store.check_platform()).missing}
            report.findings.append(await _look_into(store, options, report))
        return report
    finally:
        await container.aclose()


async def _look_into(store: Persistence, options: argparse.Namespace, report: Report) -> Findings:
    if report.repaired is None:
        return await check_everything(store, grace_seconds=options.grace, say=_show_progress)
    repaired, findings = await repair_everything(
        store, grace_seconds=options.grace, say=_show_progress
    )
    report.repaired += repaired
    return findings


def _show_progress(line: str) -> None:
    """Show how far a check is, in one line that is written over, to whoever is watching."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _print_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_json()))
        return
    _show_progress("")
    for name, count in sorted((report.repaired or {}).items()):
        print(f"repaired {name}: {count}")
    print(table_of(report.broken()))
    for part in report.missing.values():
        print(
            f"\n{MISSING.get(part.name, part.name)} Run this in the SQL editor:\n\n{part.remedy}\n"
        )
    print(_verdict(report))


def _verdict(report: Report) -> str:
    if report.is_well:
        return "All is well."
    if not report.failed():
        return f"Missing: {', '.join(report.missing)}."
    is_after_repair = report.repaired is not None
    advice = "a repair can't mend it" if is_after_repair else "--repair mends what can be mended"
    return f"Broken: {', '.join(report.failed())}; {advice}."


if __name__ == "__main__":
    sys.exit(main())
