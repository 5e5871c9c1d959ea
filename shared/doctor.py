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
from contextlib import suppress
from typing import TYPE_CHECKING

from shared.config import ConfigurationError, load_settings
from shared.container import Container
from shared.errors import AppError, SchemaBehindError, StoreUnavailableError
from shared.integrity import GRACE_SECONDS
from shared.observability.logs import configure_logging
from shared.persistence.integrity import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.config import Settings
    from shared.models.integrity import InvariantCheck, InvariantReport
    from shared.persistence import Persistence

WELL, BROKEN, MISCONFIGURED, UNREACHABLE = 0, 1, 2, 3

SCAN_SECONDS = 600  # as long as the SQL functions give themselves

REMEDIES = {
    "settled_turn_without_reply": "point it to its reply, or store an interrupted one",
    "turn_with_two_replies": "keep one, leave the other outside of the turn",
    "seq_gap": "number the messages again, in their order",
    "seq_tie": "number the messages again, in their order",
    "last_seq_wrong": "set it to the newest message's",
    "created_at_out_of_order": "make it grow by a microsecond where it doesn't",
    "key_used_twice": "add the turn's id to the later key",
    "row_of_another_owner": "give it to the conversation's owner",
    "turn_without_worker": "settle it as interrupted",
    "conversation_missing": "recover it, if the account exists",
    "message_of_unknown_turn": "leave it outside of any turn",
    "draft_left_behind": "remove it",
    "import_left_behind": "remove it",
    "summary_of_no_message": "remove it",
    "words_of_no_message": "remove them",
    "watermark_too_high": "lower it, so that what is missing is indexed next",
}
NO_REMEDY = "nothing: it can't be made up"


def table_of(checks: Sequence[InvariantCheck]) -> str:
    """Return the checks as aligned lines; each example has a line, the remedy only where needed."""
    rows = [("check", "broken", "example", "what a repair does")]
    for check in checks:
        first, *others = [str(example) for example in check.examples] or [""]
        remedy = REMEDIES.get(check.name, "") if check.repairable else NO_REMEDY
        rows.append((check.name, str(check.broken), first, remedy if check.broken else ""))
        rows += [("", "", other, "") for other in others]
    name, count, example = (max(len(row[column]) for row in rows) for column in range(3))
    return "\n".join(
        f"{row[0]:{name}}  {row[1]:>{count}}  {row[2]:{example}}  {row[3]}".rstrip() for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, and repair where that is asked for; return the exit code."""
    options = _parser().parse_args(arguments)
    configure_logging("critical")  # what goes wrong is said once, in words
    try:
        settings = load_settings()
    except ConfigurationError as exc:
        return _fail(f"configuration error: {exc}", MISCONFIGURED)
    try:
        repaired, found = asyncio.run(_examine(settings, options))
    except (StoreUnavailableError, TimeoutError):
        return _fail(f"the store at {settings.supabase_url} can't be reached", UNREACHABLE)
    except SchemaBehindError:
        return _fail(
            f"the schema at {settings.supabase_url} is older than this: apply the migrations up to"
            f" {SCHEMA_VERSION} (supabase db push)",
            UNREACHABLE,
        )
    except AppError:
        return _fail(
            f"the store at {settings.supabase_url} refused: is the key right?",
            UNREACHABLE,
        )
    _print_report(repaired, found, as_json=options.json)
    return BROKEN if _broken(found) else WELL


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m shared.doctor", description=summary)
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


async def _examine(
    settings: Settings, options: argparse.Namespace
) -> tuple[Counter[str] | None, InvariantReport]:
    patient = settings.model_copy(
        update={"store_timeout": max(settings.store_timeout, SCAN_SECONDS)}
    )
    container = Container(patient)
    try:
        # A scan may take its time, but whether anybody is there shows at once.
        async with asyncio.timeout(settings.store_timeout):
            if await container.persistence.ping() < SCHEMA_VERSION:
                raise SchemaBehindError
        store = container.persistence
        found = await store.check_invariants(grace_seconds=options.grace)
        if not options.repair:
            return None, found
        repaired = await _repair(store, found.users, grace_seconds=options.grace)
        return repaired, await store.check_invariants(grace_seconds=options.grace)
    finally:
        await container.aclose()


async def _repair(store: Persistence, users: list[UUID], *, grace_seconds: int) -> Counter[str]:
    repaired: Counter[str] = Counter()
    for user_id in users:
        # Whose rows are in use just now, or can't be mended, keeps no other from a repair.
        with suppress(StoreUnavailableError):
            report = await store.repair_invariants(user_id, grace_seconds=grace_seconds)
            repaired.update(report.repaired)
    return repaired


def _print_report(repaired: Counter[str] | None, found: InvariantReport, *, as_json: bool) -> None:
    if as_json:
        done = {} if repaired is None else {"repaired": repaired}
        print(json.dumps({**done, **found.model_dump(mode="json", include={"checks"})}))
        return
    for name, count in sorted((repaired or {}).items()):
        print(f"repaired {name}: {count}")
    print(table_of(found.checks))
    print(_verdict(_broken(found), after_repair=repaired is not None))


def _broken(found: InvariantReport) -> list[InvariantCheck]:
    return [check for check in found.checks if check.broken]


def _verdict(broken: list[InvariantCheck], *, after_repair: bool) -> str:
    if not broken:
        return "All is well."
    advice = "a repair can't mend it" if after_repair else "--repair mends what can be mended"
    return f"Broken: {', '.join(check.name for check in broken)}; {advice}."


def _fail(reason: str, code: int) -> int:
    print(reason, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
